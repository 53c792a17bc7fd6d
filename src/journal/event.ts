import { canonicalJson } from '../core/canonical-json.ts'
import type { Json } from '../core/canonical-json.ts'

/** What happened: `kind` and any members that plain JSON can carry. */
export interface JournalEvent {
  readonly kind: 'intent' | 'outcome' | 'refusal' | 'control' | 'applied' | 'egress' | 'start' | 'stop' | 'finding'
  readonly [member: string]: Json | undefined
}

/** The longest event that is accepted, in characters of its JSON. */
export const MAX_EVENT_LENGTH = 256 * 1024
const MAX_DEPTH = 32
const kinds: ReadonlySet<unknown> = new Set<JournalEvent['kind']>([
  'applied',
  'control',
  'egress',
  'finding',
  'intent',
  'outcome',
  'refusal',
  'start',
  'stop',
])

export function isEventKind(value: unknown): boolean {
  return kinds.has(value)
}

/** The canonical JSON of an event. Throws a TypeError on anything that is not plain JSON: a `Secret`, a Buffer, a Date, a function. */
export function encodeEvent(event: JournalEvent): string {
  if (!kinds.has(event.kind)) throw new TypeError('the journal does not know this kind of event')
  const text = encodeFlat(event) ?? encodeNested(event)
  if (text.length > MAX_EVENT_LENGTH) throw new TypeError('the event is longer than the journal accepts')
  return text
}

function encodeNested(event: JournalEvent): string {
  requirePlain(event, 0)
  return canonicalJson(event)
}

function requirePlain(value: unknown, depth: number): void {
  if (isScalar(value)) return
  if (typeof value !== 'object' || value === null) throw new TypeError(`the journal cannot carry a ${typeof value}`)
  if (depth >= MAX_DEPTH) throw new TypeError('the event is nested too deeply')
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value)) {
    if (prototype !== Array.prototype) throw new TypeError('the journal carries plain arrays only')
    for (const item of value) requirePlain(item, depth + 1)
    return
  }
  if (prototype !== Object.prototype && prototype !== null)
    throw new TypeError('the journal carries plain objects only')
  for (const key of Object.keys(value)) {
    const member: unknown = Reflect.get(value, key)
    if (member !== undefined) requirePlain(member, depth + 1)
  }
}

function isScalar(value: unknown): boolean {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true
  if (typeof value !== 'number') return false
  if (!Number.isFinite(value)) throw new TypeError('the journal has no NaN or Infinity')
  return true
}

/**
 * The members of events with the same names in the same order, sorted once. The same few shapes of
 * event are written for every request, and sorting them anew cost more than all the rest.
 */
interface Shape {
  readonly names: readonly string[]
  readonly members: readonly { readonly name: string; readonly opening: string }[]
  readonly ordered: boolean
}

/** By the number of names, the newest first: comparing interned names one by one is cheaper than hashing them together. */
const shapes = new Map<number, Shape[]>()
const MAX_SHAPES_OF_A_LENGTH = 16
const MAX_NAMES = 64
const plainText = /^[ !#-[\]-~]*$/

/** The quick way for an event without nested values, which spells exactly as `canonicalJson` does. Null: take the other way. */
function encodeFlat(event: JournalEvent): string | null {
  if (Object.getPrototypeOf(event) !== Object.prototype) return null
  const names = Object.keys(event)
  const shape = shapeOf(names)
  if (shape === null) return null
  for (const name of names) if (!isScalar(event[name])) return null
  if (shape.ordered) return JSON.stringify(event)
  let text = ''
  for (const { name, opening } of shape.members) {
    const value = event[name]
    text += opening
    text += typeof value === 'string' && plainText.test(value) ? `"${value}"` : JSON.stringify(value)
  }
  return `{${text}}`
}

function shapeOf(names: readonly string[]): Shape | null {
  if (names.length > MAX_NAMES) return null
  let known = shapes.get(names.length)
  if (known === undefined) shapes.set(names.length, (known = []))
  for (const shape of known) if (isSame(shape.names, names)) return shape
  // Names of digits keep an order of their own in objects, and others would need escaping.
  if (names.some((name) => !/^[A-Za-z]\w*$/.test(name))) return null
  const sorted = names.toSorted()
  const members = sorted.map((name, index) => ({ name, opening: `${index === 0 ? '' : ','}"${name}":` }))
  const shape = { names, members, ordered: isSame(sorted, names) }
  if (known.unshift(shape) > MAX_SHAPES_OF_A_LENGTH) known.pop()
  return shape
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  for (let index = 0; index < one.length; index++) if (one[index] !== other[index]) return false
  return true
}
