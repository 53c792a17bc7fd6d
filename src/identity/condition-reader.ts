import type { Environment } from '@marcbachmann/cel-js'
import {
  CONDITION_LIST_MAXIMUM,
  CONDITION_MAXIMUM_DEPTH,
  CONDITION_MAXIMUM_LENGTH,
  CONDITION_MAXIMUM_NODES,
  factTypes,
  NOW,
  ownFunctions,
} from '../core/condition-language.ts'
import { compileCondition, ConditionFault, type Condition } from '../core/condition.ts'
import { KeywardError } from '../core/errors.ts'
import type { GrantRecord } from '../core/records.ts'

/** Conditions kept for grants that say the same. The oldest go first. */
export const maximumSharedConditions = 1_000

/** Reads a condition, once `loadConditions` is done; throws KeywardError `condition_invalid`, naming the place. The same text gives the same condition. */
export type ConditionReader = (text: string) => Condition

/** `timeZone`: where `hour(now)` and its like are told, where the condition does not say. */
export function createConditionReader(timeZone: string): ConditionReader {
  const known = new Map<string, Condition>()
  return (text) => {
    const found = known.get(text)
    if (found !== undefined) return found
    const made = readCondition(text, timeZone)
    if (known.size >= maximumSharedConditions)
      for (const oldest of known.keys()) {
        known.delete(oldest)
        break
      }
    known.set(text, made)
    return made
  }
}

function readCondition(text: string, timeZone: string): Condition {
  if (text.length > CONDITION_MAXIMUM_LENGTH)
    throw invalid(text, CONDITION_MAXIMUM_LENGTH, `A condition has at most ${CONDITION_MAXIMUM_LENGTH} characters.`)
  if (language === null) throw new Error('loadConditions was not awaited.')
  const { environment, library } = language
  try {
    const parsed = environment.parse(text)
    const condition = compileCondition(parsed.ast, timeZone)
    const checked = parsed.check()
    if (checked.error !== undefined) throw checked.error
    if (checked.type !== 'bool')
      throw new ConditionFault(0, 'It has to come to true or false: compare it with something, as in == true.')
    return condition
  } catch (error) {
    if (error instanceof ConditionFault) throw invalid(text, error.at, error.message)
    if (error instanceof library.ParseError || error instanceof library.TypeError)
      throw invalid(text, error.range?.start ?? 0, `${error.summary}.`)
    throw error
  }
}

function invalid(text: string, at: number, why: string): KeywardError {
  const before = text.slice(0, at).split('\n')
  const line = before.length === 1 ? '' : `line ${before.length}, `
  return new KeywardError('condition_invalid', `At ${line}character ${(before.at(-1) ?? '').length + 1}: ${why}`)
}

interface Language {
  readonly library: typeof import('@marcbachmann/cel-js')
  readonly environment: Environment
}

let language: Language | null = null
let loading: Promise<void> | null = null

/** To be awaited before a condition is read: most homes have none, and the library would be a tenth of every start. */
export function loadConditions(): Promise<void> {
  loading ??= import('@marcbachmann/cel-js').then((library) => {
    language = { library, environment: environmentOf(library) }
  })
  return loading
}

/** The same, where one of these grants has a condition. */
export async function loadConditionsOf(grants: Iterable<Pick<GrantRecord, 'when'>>): Promise<void> {
  for (const { when } of grants) if (when !== undefined) return loadConditions()
}

/** Whether conditions can be read at once. */
export function conditionsAreLoaded(): boolean {
  return language !== null
}

function environmentOf(library: Language['library']): Environment {
  const environment = new library.Environment({
    limits: {
      maxAstNodes: CONDITION_MAXIMUM_NODES,
      maxDepth: CONDITION_MAXIMUM_DEPTH,
      maxListElements: CONDITION_LIST_MAXIMUM,
      maxMapEntries: 0,
      maxCallArguments: 2,
    },
  })
  for (const [name, schema] of Object.entries(factTypes)) environment.registerVariable({ name, schema })
  environment.registerVariable(NOW, 'google.protobuf.Timestamp')
  // Only their types are asked for: what they come to is worked out in the core.
  for (const signature of ownFunctions) environment.registerFunction(signature, unasked)
  return environment
}

function unasked(): never {
  throw new Error('Conditions are not evaluated by the library.')
}
