import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isIP } from 'node:net'
import { z } from 'zod'

/** Facts of OCSF's published schema (`generate.ts`), and a check of events against them. */

const attribute = z.strictObject({
  type: z.string(),
  base: z.string().optional(),
  array: z.boolean().optional(),
  required: z.boolean().optional(),
  values: z.array(z.string()).optional(),
})
const shape = { attributes: z.record(z.string(), attribute), atLeastOne: z.array(z.string()).optional() }
const schema = z
  .strictObject({
    version: z.string(),
    classes: z.record(z.string(), z.strictObject({ name: z.string(), category: z.int(), ...shape })),
    objects: z.record(z.string(), z.strictObject(shape)),
  })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, 'schema.json'), 'utf8')))

type Attribute = z.infer<typeof attribute>
type Shape = {
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly atLeastOne?: readonly string[] | undefined
}

export const { version } = schema

/** What is wrong with the event, each with its place; empty: it is valid. */
export function problemsOf(event: unknown): string[] {
  const members = membersOf(event)
  const uid = members['class_uid']
  const found = schema.classes[String(uid)]
  if (found === undefined) return [`class_uid: ${String(uid)} is not one of those that are checked`]
  const problems = within(members, found, found.name)
  if (members['category_uid'] !== found.category) problems.push('category_uid: of another class')
  if (members['type_uid'] !== Number(uid) * 100 + Number(members['activity_id'])) problems.push('type_uid: not of this')
  const metadata = membersOf(members['metadata'])
  if (metadata['version'] !== schema.version) problems.push('metadata.version: another than the one checked against')
  return problems
}

function within(
  members: Readonly<Record<string, unknown>>,
  { attributes, atLeastOne }: Shape,
  place: string,
): string[] {
  const problems: string[] = []
  for (const [name, fact] of Object.entries(attributes))
    if (fact.required === true && members[name] === undefined) problems.push(`${place}.${name}: is required`)
  if (atLeastOne !== undefined && !atLeastOne.some((name) => members[name] !== undefined))
    problems.push(`${place}: has none of ${atLeastOne.join(', ')}`)
  for (const [name, value] of Object.entries(members)) {
    const fact = attributes[name]
    if (fact === undefined) problems.push(`${place}.${name}: is no attribute`)
    else if (fact.array === true && !Array.isArray(value)) problems.push(`${place}.${name}: is no list`)
    else
      for (const one of fact.array === true && Array.isArray(value) ? value : [value])
        problems.push(...valueProblems(one, fact, `${place}.${name}`))
  }
  return problems
}

function valueProblems(value: unknown, { type, base, values }: Attribute, place: string): string[] {
  if (values !== undefined && !values.includes(String(value))) return [`${place}: has no value ${String(value)}`]
  if (base === undefined) {
    if (typeof value !== 'object' || value === null) return [`${place}: is no object`]
    if (type === 'object') return []
    const found = schema.objects[type]
    return found === undefined
      ? [`${place}: ${type} is not one of those that are checked`]
      : within({ ...value }, found, place)
  }
  if (type === 'ip_t' && (typeof value !== 'string' || isIP(value) === 0)) return [`${place}: is no address`]
  if (base === 'integer_t' || base === 'long_t')
    return Number.isSafeInteger(value) ? [] : [`${place}: is no whole number`]
  if (base === 'boolean_t') return typeof value === 'boolean' ? [] : [`${place}: is no boolean`]
  if (base === 'string_t') return typeof value === 'string' ? [] : [`${place}: is no text`]
  return [`${place}: ${base} is not one of those that are checked`]
}

function membersOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
