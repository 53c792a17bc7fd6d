import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { canonicalJson } from '../../core/canonical-json.ts'
import { KeywardError } from '../../core/errors.ts'
import type { Service } from '../../services/service.ts'
import { loadConditions } from '../condition-reader.ts'
import { changesOf } from './changes.ts'
import type { Maker, Values } from './changes.ts'
import { maximumPolicyProblems } from './documents.ts'
import { planPolicy, versionsOf } from './plan.ts'
import type { Plan } from './plan.ts'
import { managedRows, presentDocuments } from './present.ts'
import type { Present } from './present.ts'
import { readPolicyFiles } from './read.ts'
import type { PolicyFile, PolicyProblem, ReadFiles } from './read.ts'
import { writeDocuments } from './write.ts'

/** Steps that the journal's entry of a run says in words; the entry names every row in any case. */
const STEPS_RECORDED = 200

export interface PolicyWish {
  readonly files: readonly PolicyFile[]
  readonly prune: boolean
}

export interface PlannedPolicy extends Plan {
  /** Names exactly this plan, with all its differences. */
  readonly digest: string
  /** Described credentials that will still have no value. */
  readonly pending: readonly string[]
}

export interface PolicyFiles {
  /** What the files would change; at most `maximumPolicyProblems` problems. Changes nothing. */
  plan(wish: PolicyWish): Promise<PlannedPolicy>
  /**
   * Does what the plan of this digest said, in one commit, or nothing. Throws the code of the first problem, `plan_stale`
   * where the plan is another by now, `value_missing`, `secret_invalid`, `secret_reused`, `policy_too_large`, and what a commit throws.
   */
  apply(wish: PolicyWish & { readonly digest: string; readonly values: Values }, actor: string): Promise<PlannedPolicy>
  /** Everything that files can describe, as YAML in a stable order; no secret is in it. */
  export(): Promise<string>
}

export function createPolicyFiles(parts: Maker & { readonly builtIn: readonly Service[] }): PolicyFiles {
  const { records, builtIn } = parts

  function planned({ wanted, problems }: ReadFiles, prune: boolean): PlannedPolicy {
    const plan = planPolicy(wanted, records, { prune: prune && problems.length === 0, builtIn })
    // A document that cannot be read would make others look dangling.
    const told = (problems.length > 0 ? problems : plan.problems).toSorted(byPlace).slice(0, maximumPolicyProblems)
    return { ...plan, problems: told, digest: digestOf(plan), pending: pendingAfter(plan) }
  }

  function pendingAfter(plan: Plan): string[] {
    return plan.steps.flatMap(({ wanted, present, differences }) => {
      if (wanted?.kind !== 'credential' || differences.some(({ member }) => member === 'value')) return []
      const versions = present === null ? [] : versionsOf(present.rowId, records)
      return versions.some(({ state }) => state === 'current') ? [] : [wanted.key]
    })
  }

  return {
    async plan({ files, prune }) {
      await loadConditions()
      return planned(await readPolicyFiles(files, builtIn, setImmediate), prune)
    },

    async apply(wish, actor) {
      await loadConditions()
      const read = await readPolicyFiles(wish.files, builtIn, setImmediate)
      const planNow = (): PlannedPolicy => {
        const current = planned(read, wish.prune)
        const [problem] = current.problems
        if (problem !== undefined) throw new KeywardError(problem.code, problem.message)
        if (current.digest !== wish.digest) throw new KeywardError('plan_stale')
        return current
      }
      const plan = planNow()
      const isEmpty =
        plan.steps.every(({ action }) => action === 'keep') && sameRows(plan.managed, managedRows(records))
      if (isEmpty) return plan
      await records.commit(() => changesOf(planNow(), wish.values, parts), {
        actor,
        action: 'policy.apply',
        detail: { plan: wish.digest, ...countsOf(plan), steps: stepsInWords(plan) },
      })
      return plan
    },

    export: () => writeDocuments(presentDocuments(records), setImmediate),
  }
}

/** As one would read the files: what is about the home comes last. */
function byPlace({ place: left }: PolicyProblem, { place: right }: PolicyProblem): number {
  if (left === null || right === null) return Number(left === null) - Number(right === null)
  if (left.file !== right.file) return left.file < right.file ? -1 : 1
  return left.line - right.line || left.column - right.column
}

export function countsOf({ steps }: Pick<Plan, 'steps'>): {
  create: number
  change: number
  remove: number
  keep: number
} {
  const count = (wanted: Plan['steps'][number]['action']): number =>
    steps.filter(({ action }) => action === wanted).length
  return { create: count('create'), change: count('change'), remove: count('remove'), keep: count('keep') }
}

/** What a step is about. */
export function thingOf(step: Plan['steps'][number]): Pick<Present, 'kind' | 'key'> {
  return step.wanted ?? step.present
}

function stepsInWords({ steps }: Plan): string[] {
  return steps
    .filter(({ action }) => action !== 'keep')
    .slice(0, STEPS_RECORDED)
    .map((step) => `${step.action} ${thingOf(step).kind} ${thingOf(step).key}`)
}

function digestOf({ steps, managed }: Plan): string {
  const said = steps
    .filter(({ action }) => action !== 'keep')
    .map(({ action, wanted, present, differences }) => [
      action,
      wanted?.kind ?? null,
      wanted?.key ?? null,
      present?.rowId ?? null,
      differences.map(({ member, before, after }) => [member, before, after]),
    ])
  return createHash('sha256')
    .update(canonicalJson([said, managed]))
    .digest('base64url')
}

function sameRows(rows: readonly string[], others: ReadonlySet<string>): boolean {
  return rows.length === others.size && rows.every((row) => others.has(row))
}
