import { lettersOf, readStrictJson, strictText } from './strict-json.ts'

/**
 * What the parts of a condition come to. Numbers of expressions and of bodies are one kind; a `Date` is a moment.
 * Objects of a body are maps, so that no name of a member can be taken for something of the language's own.
 */
export type Value = string | number | boolean | null | Date | readonly Item[] | Map<string, Item>

/** What a part comes to, or why it comes to nothing: a member that is missing, another type, a body nobody read. */
export type Item = Value | Failure

/** Why something cannot be judged: the end of a sentence that begins with the grant. Never a value that somebody sent. */
export class Failure {
  readonly why: string
  constructor(why: string) {
    this.why = why
  }
}

export const missing = new Failure('names something that is not there')
export const wrongType = new Failure('meets a value of another type')
const unreadable = new Failure('reads a body that is not one JSON text with one reading')
const inexact = new Failure('reads a number that cannot be kept as it is written')
const twice = new Failure('reads parameters of which one stands twice')
const lookedLike = new Failure('reads a name beside which another stands that looks like it')

/** What kind of value it is, as far as comparing goes. */
function kindOf(value: Value): string {
  if (value === null) return 'null'
  if (value instanceof Date) return 'moment'
  if (value instanceof Map) return 'map'
  return Array.isArray(value) ? 'list' : typeof value
}

/**
 * Whether two values are equal. Other than in CEL, values of different types cannot be compared: `!=` would be true
 * of a number that is written as a text, which the service may well read as the number. Null can be, with anything.
 */
export function areEqual(left: Item, right: Item, spend: (characters: number) => boolean): boolean | Failure {
  if (left instanceof Failure) return left
  if (right instanceof Failure) return right
  if (left === null || right === null) return left === right
  if (kindOf(left) !== kindOf(right)) return wrongType
  if (left instanceof Date && right instanceof Date) return left.getTime() === right.getTime()
  if (typeof left === 'string') return spend(left.length) && left === right
  if (Array.isArray(left) && Array.isArray(right)) {
    if (left.length !== right.length) return false
    let all = true
    for (let at = 0; at < left.length; at++) {
      if (!spend(1)) return false
      const equal = areEqual(left[at] ?? missing, right[at] ?? missing, spend)
      if (equal instanceof Failure) return equal
      all &&= equal
    }
    return all
  }
  return left instanceof Map ? wrongType : left === right
}

/** The member of an object. */
export function memberOf(value: Item, name: string): Item {
  if (value instanceof Failure) return value
  if (!(value instanceof Map)) return wrongType
  return value.has(name) ? (value.get(name) ?? null) : missing
}

/**
 * A body of JSON. What has more than one reading is none (strict-json.ts), and neither is a number of which a reader
 * with more digits, or fewer, would see another.
 */
export function readJsonBody(bytes: Uint8Array): Item {
  const strict = readStrictJson(bytes)
  const text = strictText(bytes)
  if (!('value' in strict) || text === null) return unreadable
  if (!PERHAPS_INEXACT.test(text)) return withMaps(strict.value)
  const read: Item = JSON.parse(text, (_name, value: unknown, context?: { readonly source?: string }) => {
    if (typeof value === 'number') return isExact(context?.source ?? '', value) ? value : inexact
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? new Map(Object.entries(value)) : value
  })
  return read
}

/** Of numbers with fewer digits and without an exponent, each has a double of its own. */
const PERHAPS_INEXACT = /[0-9][0-9.]{15}|[0-9][eE]/

/** What JSON.parse made of a text, with maps for objects. */
function withMaps(value: unknown): Item {
  if (Array.isArray(value)) return value.map(withMaps)
  if (typeof value === 'object' && value !== null) {
    const members = new Map<string, Item>()
    for (const [name, member] of Object.entries(value)) members.set(name, withMaps(member))
    return members
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null
}

/** Whether a number is written with the digits that its double would be written with. */
function isExact(source: string, value: number): boolean {
  return Number.isFinite(value) && digitsOf(source) === digitsOf(String(value))
}

/** The digits that count, and where the point stands: the same for every writing of one decimal number. */
function digitsOf(written: string): string {
  const [, whole = '', fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(written) ?? []
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const kept = digits.replace(/0+$/, '')
  return kept === '' ? '0' : `${kept}e${Number(exponent) - fraction.length + digits.length - kept.length}`
}

/** Parameters of a query or a form, of which each may stand once. */
export function readParameters(pairs: readonly (readonly [string, string])[]): Item {
  const read = new Map<string, Item>(pairs)
  return read.size < pairs.length ? twice : read
}

/** A decimal number in a text, as JSON would write it. */
export function readNumber(text: string): Item {
  if (text.length > 32 || !/^-?(?:0|[1-9]\d*)(?:\.\d+)?$/.test(text)) return wrongType
  const value = Number(text)
  return isExact(text, value) ? value : inexact
}

/**
 * Fails where an object at any depth has a member that another reader could take for one of these names: services
 * find `Model` where they look for `model`, and PHP finds `model` in `model[0]`. `spend` says whether to go on.
 */
export function withoutLookAlikes(value: Item, names: Names, spend: (characters: number) => boolean): Item {
  const open: Item[] = [value]
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    if (Array.isArray(one)) for (const item of one) open.push(item)
    if (!(one instanceof Map)) continue
    for (const [name, member] of one) {
      // Folding is dearer than comparing.
      if (!spend(name.length * 16)) return missing
      if (!names.exact.has(name) && looksKnown(name, names)) return lookedLike
      open.push(member)
    }
  }
  return value
}

function looksKnown(name: string, { letters }: Names): boolean {
  if (letters.has(lettersOf(name))) return true
  const base = baseOf(name)
  return base !== name && letters.has(lettersOf(base))
}

/** Of a name that goes on as a list or an object does in a form. */
function baseOf(name: string): string {
  const end = name.search(/[.[]/)
  return end < 0 ? name : name.slice(0, end)
}

/** The names of members that a condition reads. */
export interface Names {
  readonly exact: ReadonlySet<string>
  readonly letters: ReadonlySet<string>
}

export function namesOf(exact: ReadonlySet<string>): Names {
  return { exact, letters: new Set([...exact].map(lettersOf).filter((letters) => letters !== '')) }
}

/** The one value of a header, null where it is not there; a failure where servers could read another. */
export function headerOf(headers: readonly (readonly [string, string])[], name: string): string | null | Failure {
  const plain = name.replaceAll('_', '-')
  let found: string | null = null
  for (const [key, value] of headers) {
    if (key !== name && key.replaceAll('_', '-') !== plain) continue
    if (key !== name) return lookedLike
    if (found !== null) return twice
    found = value
  }
  return found
}
