import { canonicalJson } from '../core/canonical-json.ts'
import type { Json } from '../core/canonical-json.ts'

/** What an entry of the journal may be about. */
export const eventKinds = [
  'intent',
  'outcome',
  'refusal',
  'control',
  'applied',
  'followed',
  'egress',
  'start',
  'stop',
  'backup',
  'restore',
  'finding',
] as const

export type EventKind = (typeof eventKinds)[number]

/** What happened: `kind` and any members that plain JSON can carry. */
export interface JournalEvent {
  readonly kind: EventKind
  readonly [member: string]: Json | undefined
}

/** The longest event that is accepted, in characters of its JSON. */
export const MAX_EVENT_LENGTH = 256 * 1024
const MAX_DEPTH = 32
const kinds: ReadonlySet<unknown> = new Set(eventKinds)

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
 * The quick way for an event without nested values whose members stand in the order in which they are written:
 * it is spelled exactly as `canonicalJson` spells it. Null: take the other way.
 */
function encodeFlat(event: JournalEvent): string | null {
  if (Object.getPrototypeOf(event) !== Object.prototype) return null
  let before = ''
  for (const name in event) {
    const value = event[name]
    if (name <= before || !(value === undefined || isScalar(value))) return null
    before = name
  }
  return JSON.stringify(event)
}
