import { KeywardError } from '../../core/errors.ts'
import { serviceRow } from '../../services/schema.ts'
import type { Service } from '../../services/service.ts'
import { createConditionReader } from '../condition-reader.ts'
import { checkFit } from '../grants.ts'
import type { Step } from './plan.ts'
import type { Present, Tables } from './present.ts'
import type { PolicyProblem, Wanted } from './read.ts'

/** What of the home as it would be is of interest for references. */
interface After {
  readonly environments: ReadonlySet<string>
  readonly services: ReadonlyMap<string, Service>
  /** `environment/name` to the id of its service. */
  readonly credentials: ReadonlyMap<string, string>
  readonly agents: ReadonlySet<string>
}

/** Looks at the home as it would be after `steps`: nothing may refer to what is not there, and no grant may name what its service does not have. */
export function checkAfter(
  steps: readonly Step[],
  present: readonly Present[],
  records: Tables,
  builtIn: readonly Service[],
): PolicyProblem[] {
  const after = afterSteps(steps, present, records, builtIn)
  const problems: PolicyProblem[] = []
  for (const step of steps) {
    if (step.wanted === null) continue
    problems.push(...wantedProblems(step.wanted, after), ...inPlaceProblems(step))
  }
  const touched = new Set(steps.flatMap((step) => (step.present === null ? [] : [step.present.rowId])))
  for (const one of present) {
    // What no step touches is looked at as well: it may need what is removed, or not fit a service that is changed.
    if (touched.has(one.rowId)) continue
    for (const message of standingProblems(one, after, records, steps))
      problems.push({ code: 'still_in_use', message, place: null })
  }
  return problems
}

function afterSteps(
  steps: readonly Step[],
  present: readonly Present[],
  records: Tables,
  builtIn: readonly Service[],
): After {
  const removed = new Set(steps.flatMap((step) => (step.action === 'remove' ? [step.present] : [])))
  const stays = present.filter((one) => !removed.has(one))
  const wanted = steps.flatMap((step) => (step.wanted === null ? [] : [step.wanted]))
  const keysOf = (kind: Present['kind']): string[] => [
    ...stays.filter((one) => one.kind === kind).map(({ key }) => key),
    ...wanted.filter((one) => one.kind === kind).map(({ key }) => key),
  ]
  const services = new Map(builtIn.map((service) => [service.id, service]))
  for (const { kind, rowId } of stays)
    if (kind === 'service') services.set(rowId, serviceRow.parse(records.all('service').get(rowId)?.definition))
  const credentials = new Map<string, string>()
  for (const { kind, key, said } of stays) if (kind === 'credential') credentials.set(key, String(said['service']))
  for (const one of wanted) {
    if (one.kind === 'service') services.set(one.key, one.service)
    if (one.kind === 'credential') credentials.set(one.key, one.document.service)
  }
  return {
    environments: new Set(keysOf('environment')),
    services,
    credentials,
    agents: new Set(keysOf('agent')),
  }
}

function wantedProblems(wanted: Wanted, after: After): PolicyProblem[] {
  const { place } = wanted
  const dangling = (message: string): PolicyProblem => ({ code: 'policy_dangling', message, place })
  switch (wanted.kind) {
    case 'environment':
    case 'service':
      return []
    case 'credential': {
      const { environment, service, from = {} } = wanted.document
      const fields = after.services.get(service)?.fields
      const strange = Object.keys(from).filter((field) => fields !== undefined && !Object.hasOwn(fields, field))
      return [
        ...(after.environments.has(environment) ? [] : [dangling(`There is no environment ${environment}.`)]),
        ...(fields === undefined ? [dangling(`There is no service ${service}.`)] : []),
        ...(strange.length === 0 ? [] : [dangling(`The service ${service} has no such field as \`from\` names.`)]),
      ]
    }
    case 'agent':
      return after.environments.has(wanted.document.environment)
        ? []
        : [dangling(`There is no environment ${wanted.document.environment}.`)]
    case 'grant': {
      const { agent, credential, environment } = wanted.document
      const serviceId = after.credentials.get(`${environment}/${credential}`)
      const unfit = serviceId === undefined ? null : unfitness(wanted.terms, after.services.get(serviceId))
      return [
        ...(after.agents.has(`${environment}/${agent}`)
          ? []
          : [dangling(`There is no agent ${agent} in ${environment}.`)]),
        ...(serviceId === undefined ? [dangling(`There is no credential ${credential} in ${environment}.`)] : []),
        ...(unfit === null ? [] : [{ ...unfit, place }]),
      ]
    }
  }
}

/** A credential keeps its service: its fields are sealed, and its secret goes to the hosts of that one. */
function inPlaceProblems({ wanted, present }: Step): PolicyProblem[] {
  if (wanted?.kind !== 'credential' || present === null || present.said['service'] === wanted.document.service)
    return []
  const message = `The credential ${wanted.key} opens another service than ${wanted.document.service}.`
  return [{ code: 'policy_conflict', message, place: wanted.place }]
}

function standingProblems(one: Present, after: After, records: Tables, steps: readonly Step[]): string[] {
  const named = `The ${one.kind} ${one.key} is in no file that was given and still needs`
  const environment = String(one.said['environment'])
  if (one.kind === 'agent' || one.kind === 'credential') {
    const service = one.kind === 'credential' ? String(one.said['service']) : null
    return [
      ...(after.environments.has(environment) ? [] : [`${named} the environment ${environment}.`]),
      ...(service === null || after.services.has(service) ? [] : [`${named} the service ${service}.`]),
    ]
  }
  if (one.kind !== 'grant') return []
  const [agent, credential] = [String(one.said['agent']), String(one.said['credential'])]
  const missing = [
    ...(after.agents.has(`${environment}/${agent}`) ? [] : [`${named} the agent ${agent}.`]),
    ...(after.credentials.has(`${environment}/${credential}`) ? [] : [`${named} the credential ${credential}.`]),
  ]
  const serviceId = after.credentials.get(`${environment}/${credential}`)
  const isChanged = steps.some((step) => step.action !== 'keep' && serviceIn(step) === serviceId)
  const record = records.all('grant').get(one.rowId)
  if (missing.length > 0 || serviceId === undefined || !isChanged || record === undefined) return missing
  const unfit = unfitness(record, after.services.get(serviceId))
  return unfit === null ? [] : [`The grant ${one.key} would not fit its service any more. ${unfit.message}`]
}

function serviceIn(step: Step): string | null {
  const { kind, key } = step.wanted ?? step.present
  return kind === 'service' ? key : null
}

/** Whether a condition can be read does not depend on where clocks are looked at. */
const conditionOf = createConditionReader('UTC')

/** What of the grant its service does not know, or what its condition says that has no meaning, in a sentence; null where all is well. */
function unfitness(
  terms: Pick<Parameters<typeof checkFit>[0], 'allow' | 'deny' | 'limits' | 'when'>,
  service: Service | undefined,
): { readonly code: 'file_invalid' | 'condition_invalid'; readonly message: string } | null {
  if (service === undefined) return null
  try {
    const languages = service.speaks?.map(({ language }) => language) ?? []
    const known = { id: service.id, operations: service.operations, languages }
    checkFit({ ...terms, expiresAt: null }, known, conditionOf)
    return null
  } catch (error) {
    if (!(error instanceof KeywardError)) throw error
    const code = error.code === 'condition_invalid' ? error.code : 'file_invalid'
    return { code, message: code === error.code ? `when: ${error.detail ?? ''}` : (error.detail ?? error.message) }
  }
}
