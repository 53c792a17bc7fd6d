/** What conditions may be about and what they may do: the words of the language, as docs/formats/policy.md has them. */

/** Characters of one condition. */
export const CONDITION_MAXIMUM_LENGTH = 2_048
/** Its names, values and operators; how deep they stand within each other; elements of one list. */
export const CONDITION_MAXIMUM_NODES = 512
export const CONDITION_MAXIMUM_DEPTH = 32
export const CONDITION_LIST_MAXIMUM = 256
/** Steps of judging it once: a step is a part of it, an element, a name, or some characters compared. */
export const CONDITION_MAXIMUM_STEPS = 200_000
/** Characters looked for within a text. */
export const CONDITION_SOUGHT_MAXIMUM_LENGTH = 256

/** The facts of a request, by where they stand, with their types in CEL. */
export const factTypes = {
  request: {
    method: 'string',
    path: 'string',
    host: 'string',
    type: 'string',
    size: 'int',
    headers: 'map<string, string>',
    query: 'map<string, string>',
    body: 'dyn',
  },
  agent: { name: 'string', environment: 'string', owner: 'string' },
  session: { age: 'int', binding: 'string', narrowed: 'bool' },
  source: { address: 'string' },
} as const

export type FactRoot = keyof typeof factTypes

/** The instant of the request, a timestamp. */
export const NOW = 'now'

/** `request.method` and the others of which there is one reading only. */
export type PlainFact =
  | 'request.method'
  | 'request.path'
  | 'request.host'
  | 'request.type'
  | 'request.size'
  | 'agent.name'
  | 'agent.environment'
  | 'agent.owner'
  | 'session.age'
  | 'session.binding'
  | 'session.narrowed'
  | 'source.address'

/** Functions beside those that CEL has, as they are declared in CEL. */
export const ownFunctions = [
  'hour(google.protobuf.Timestamp): int',
  'hour(google.protobuf.Timestamp, string): int',
  'minute(google.protobuf.Timestamp): int',
  'minute(google.protobuf.Timestamp, string): int',
  'weekday(google.protobuf.Timestamp): string',
  'weekday(google.protobuf.Timestamp, string): string',
  'number(string): double',
  'string.inCidr(string): bool',
] as const

export function isFactRoot(name: string): name is FactRoot {
  return Object.hasOwn(factTypes, name)
}

export function isPlainFact(path: string): path is PlainFact {
  const [root = '', name = ''] = path.split('.')
  return (
    isFactRoot(root) &&
    Object.hasOwn(factTypes[root], name) &&
    !['request.headers', 'request.query', 'request.body'].includes(path)
  )
}
