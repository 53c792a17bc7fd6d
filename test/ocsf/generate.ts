/**
 * Writes the facts that an event is checked against: `node test/ocsf/generate.ts CHECKOUT > test/ocsf/schema.json`,
 * where CHECKOUT is a working tree of https://github.com/ocsf/ocsf-schema at tag v1.2.0. Names, types, requirements and
 * values only, of the classes and objects that Keyward writes; no text.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

type Node = Readonly<Record<string, unknown>>
interface Definition {
  readonly extends: string | null
  readonly attributes: Readonly<Record<string, Node>>
  readonly atLeastOne: readonly string[]
  readonly uid: number
  readonly category: string
}

const checkout = process.argv[2] ?? ''
const classNames = ['api_activity', 'application_lifecycle', 'detection_finding', 'entity_management']
const objectNames = [
  'actor',
  'api',
  'finding_info',
  'http_request',
  'http_response',
  'managed_entity',
  'metadata',
  'network_endpoint',
  'product',
  'request',
  'response',
  'service',
  'session',
  'url',
  'user',
]

const nodeOf = (value: unknown): Node => (typeof value === 'object' && value !== null ? { ...value } : {})
const textsOf = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [])
const read = (path: string): Node => nodeOf(JSON.parse(readFileSync(join(checkout, path), 'utf8')))

function definitionsUnder(folder: string): Map<string, Definition> {
  const found = new Map<string, Definition>()
  for (const entry of readdirSync(join(checkout, folder), { recursive: true, encoding: 'utf8' })) {
    if (!entry.endsWith('.json')) continue
    const raw = read(join(folder, entry))
    const own = nodeOf(raw['attributes'])
    const attributes: Record<string, Node> = {}
    for (const include of textsOf(own['$include']))
      for (const [name, value] of Object.entries(nodeOf(read(include)['attributes'])))
        attributes[name] = { ...nodeOf(value), ofProfile: include.startsWith('profiles/') }
    for (const [name, value] of Object.entries(own))
      if (name !== '$include') attributes[name] = { ...attributes[name], ...nodeOf(value), ofProfile: false }
    found.set(String(raw['name']), {
      extends: typeof raw['extends'] === 'string' ? raw['extends'] : null,
      attributes,
      atLeastOne: textsOf(nodeOf(raw['constraints'])['at_least_one']),
      uid: Number(raw['uid'] ?? 0),
      category: String(raw['category'] ?? ''),
    })
  }
  return found
}

function resolved(name: string, all: ReadonlyMap<string, Definition>): Definition {
  const own = all.get(name)
  if (own === undefined) throw new Error(`no definition of ${name}`)
  if (own.extends === null) return own
  const base = resolved(own.extends, all)
  const attributes: Record<string, Node> = { ...base.attributes }
  for (const [attribute, value] of Object.entries(own.attributes)) {
    const before = nodeOf(attributes[attribute])
    attributes[attribute] = {
      ...before,
      ...value,
      enum: { ...nodeOf(before['enum']), ...nodeOf(value['enum']) },
    }
  }
  const atLeastOne = own.atLeastOne.length > 0 ? own.atLeastOne : base.atLeastOne
  return { ...own, attributes, atLeastOne, category: own.category === '' ? base.category : own.category }
}

const dictionary = read('dictionary.json')
const known = nodeOf(dictionary['attributes'])
const scalars = nodeOf(nodeOf(dictionary['types'])['attributes'])

/** Attributes of a profile are required only of events that name the profile; Keyward names none. */
function factsOf({ attributes, atLeastOne }: Definition): object {
  const facts: Record<string, object> = {}
  for (const name of Object.keys(attributes).toSorted()) {
    const own = nodeOf(attributes[name])
    const general = nodeOf(known[name])
    const type = String(own['type'] ?? general['type'] ?? '')
    // What the class itself says, under its number.
    const classified = name === 'class_uid' || name === 'category_uid' || name === 'type_uid'
    const values = classified ? [] : Object.keys({ ...nodeOf(general['enum']), ...nodeOf(own['enum']) })
    facts[name] = {
      type,
      ...(type in scalars ? { base: String(nodeOf(scalars[type])['type'] ?? type) } : {}),
      ...(general['is_array'] === true ? { array: true } : {}),
      ...(own['requirement'] === 'required' && own['ofProfile'] !== true ? { required: true } : {}),
      ...(values.length > 0 ? { values } : {}),
    }
  }
  return { attributes: facts, ...(atLeastOne.length > 0 ? { atLeastOne } : {}) }
}

const events = definitionsUnder('events')
const objects = definitionsUnder('objects')
const categories = nodeOf(read('categories.json')['attributes'])
const schema = {
  version: read('version.json')['version'],
  classes: Object.fromEntries(
    classNames.map((name) => {
      const definition = resolved(name, events)
      const category = Number(nodeOf(categories[definition.category])['uid'])
      return [category * 1000 + definition.uid, { name, category, ...factsOf(definition) }]
    }),
  ),
  objects: Object.fromEntries(objectNames.map((name) => [name, factsOf(resolved(name, objects))])),
}
process.stdout.write(`${JSON.stringify(schema, null, 1)}\n`)
