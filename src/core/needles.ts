import { escapeLike, formsOf, plain, SHORTEST_VALUE } from './encodings.ts'
import type { Restate } from './encodings.ts'
import { KeywardError } from './errors.ts'
import { NeedleIndex } from './needle-index.ts'
import { lettersOf } from './squeezed-forms.ts'
import { hasEnoughLetters, SqueezedIndex } from './squeezed-index.ts'
import { isAlphanumeric, isEscapeMark, unescapeOnce } from './unescape.ts'

/** What must not come back: the bytes of a secret, its name, and the text that stands for it (a placeholder). */
export interface KnownSecret {
  readonly name: string
  readonly value: Uint8Array
  readonly replacement: string
}

/** A text made from secrets that was put on the wire, such as the value of a Basic header. */
export type DerivedText = string | { readonly text: string; readonly replacement: string }

/** The longest secret that is looked for, in bytes: its forms are up to three times as long and are held back whole. */
export const LONGEST_VALUE = 65_536
/** How often escapes within escapes are undone: `%252541` is three. */
export const UNESCAPE_DEPTH = 3
/** A replacement never supplies this many bytes to the text around it that could complete a needle. */
const LEAST_OVERLAP = 4
/** The same for its letters: case is folded and there are many more forms, so fewer would meet by chance. */
const LEAST_OVERLAP_LETTERS = 8

/** Stands for a place of which no more is known than that it must go. */
export const UNNAMED_NEEDLE = -1

interface Source {
  readonly name: string
  readonly replacement: Uint8Array
  readonly valueLength: number
}

interface Origin {
  readonly source: Source
  readonly restate: Restate
}

/** A value as it is looked for by its letters. */
interface SqueezedValue {
  readonly value: Uint8Array
  readonly source: Source
}

interface Parts {
  readonly index: NeedleIndex
  readonly squeezed: SqueezedIndex
  readonly nested: NestedNeedles | null
  readonly origins: readonly Origin[]
  readonly values: readonly SqueezedValue[]
}

/** Needles that are searched for in the text with its escapes undone, byte by byte: those of values with few letters. */
export interface NestedNeedles {
  readonly index: NeedleIndex
  /** The number of each of them among all needles. */
  readonly numbers: Uint32Array
  /** 1 for each byte that occurs in a needle. */
  readonly occurring: Uint8Array
  /** 1 for each byte whose escape matters: it occurs in a needle, or may be part of a further escape. */
  readonly relevant: Uint8Array
}

interface IndexedNeedle {
  readonly bytes: Uint8Array
  readonly fold: boolean
  readonly origin: Origin
  /** Whether it is searched for in the text with its escapes undone as well. */
  readonly nested: boolean
}

/** Everything that is looked for, ready to be searched. Immutable after construction; share one among many scrubbers. */
export class NeedleSet {
  readonly index: NeedleIndex
  readonly squeezed: SqueezedIndex
  readonly nested: NestedNeedles | null
  readonly #parts: Parts
  readonly #replacements = new Map<number, Uint8Array>()
  /** By the name of a secret: what is written in its place instead of its own replacement. */
  readonly #instead: ReadonlyMap<string, Uint8Array>

  private constructor(parts: Parts, instead: ReadonlyMap<string, Uint8Array>) {
    this.index = parts.index
    this.squeezed = parts.squeezed
    this.nested = parts.nested
    this.#parts = parts
    this.#instead = instead
  }

  static of(needles: readonly IndexedNeedle[], values: readonly SqueezedValue[]): NeedleSet {
    return new NeedleSet(
      {
        index: new NeedleIndex(needles),
        squeezed: SqueezedIndex.of(values.map(({ value }) => value)),
        nested: nestedOf(needles),
        origins: needles.map((needle) => needle.origin),
        values,
      },
      new Map(),
    )
  }

  /** The same needles with another replacement for the secret of this name. Shares the index, so it costs next to nothing. */
  restated(name: string, replacement: string): NeedleSet {
    return new NeedleSet(this.#parts, new Map([...this.#instead, [name, Buffer.from(replacement)]]))
  }

  /** Number of distinct needles. */
  get count(): number {
    return this.index.count
  }

  /**
   * What is written in place of the needle. `mark` is the escape character (`%`, `\` or `&`) with which the
   * place was written, or 0: the replacement is then escaped in the same way.
   */
  replacement(needle: number, mark: number): Uint8Array {
    const key = needle * 256 + mark
    const known = this.#replacements.get(key)
    if (known !== undefined) return known
    const chosen = this.#choose(needle, mark)
    this.#replacements.set(key, chosen)
    return chosen
  }

  #origin(needle: number): Origin | undefined {
    if (needle === UNNAMED_NEEDLE) return unnamedOrigin
    if (needle < this.index.count) return this.#parts.origins[needle]
    const { value, restate } = this.squeezed.form(this.squeezed.formOf(needle - this.index.count))
    const source = this.#parts.values[value]?.source
    return source === undefined ? undefined : { source, restate }
  }

  #choose(needle: number, mark: number): Uint8Array {
    const origin = this.#origin(needle)
    if (origin !== undefined) {
      const { source, restate } = origin
      const plain = this.#instead.get(source.name) ?? source.replacement
      const encoded = restate(plain, source.valueLength)
      const named = Buffer.from(nameText(source.name))
      // Nothing, encoded, is not nothing: base64 has characters that belong to what stands around.
      for (const text of plain.length === 0 ? [named, unnamed] : [encoded, plain, named, unnamed]) {
        const written = mark === 0 ? text : escapeLike(mark, text)
        if (written.length > 0 && !this.#recreates(written)) return written
      }
    }
    return lastResort
  }

  #recreates(text: Uint8Array): boolean {
    for (let depth = 0, view = text; depth <= UNESCAPE_DEPTH; depth++, view = unescapeOnce(view)) {
      if (this.index.touches(view, LEAST_OVERLAP)) return true
    }
    return this.squeezed.index.touches(lettersOf(text), LEAST_OVERLAP_LETTERS)
  }
}

function nestedOf(needles: readonly IndexedNeedle[]): NestedNeedles | null {
  const numbers = [...needles.keys()].filter((number) => needles[number]?.nested === true)
  if (numbers.length === 0) return null
  const chosen = needles.filter((needle) => needle.nested)
  const occurring = new Uint8Array(256)
  for (const { bytes } of chosen) for (let i = 0; i < bytes.length; i++) occurring[bytes[i] ?? 0] = 1
  const relevant = occurring.slice()
  for (let byte = 0; byte < 256; byte++) {
    if (isAlphanumeric(byte) || isEscapeMark(byte) || byte === 0x23 || byte === 0x3b) relevant[byte] = 1
  }
  return { index: new NeedleIndex(chosen), numbers: Uint32Array.from(numbers), occurring, relevant }
}

const unnamed = Buffer.from('[keyward]')
const unnamedOrigin: Origin = { source: { name: 'secret', replacement: unnamed, valueLength: 0 }, restate: plain }
/** Shorter than `LEAST_OVERLAP`, so it cannot matter to any needle. */
const lastResort = Buffer.from('***')

/**
 * Every form of every secret and derived text: as it is, reversed, hexadecimal and base32 in either case,
 * base64 in both alphabets at the three alignments, JSON, percent (also twice, and as a form writes it) and
 * HTML. A secret shorter than 8 bytes cannot be told from ordinary text and is refused with `secret_invalid`.
 */
export function needlesOf(secrets: readonly KnownSecret[], derived: readonly DerivedText[] = []): NeedleSet {
  const found: IndexedNeedle[] = []
  const values: SqueezedValue[] = []
  const addAll = (value: Uint8Array, source: Source): void => {
    const first = found.length
    const nested = !hasEnoughLetters(value)
    values.push({ value, source })
    // Needles of two secrets are rarely the same and may be so; most forms of one secret are.
    const add = (bytes: Uint8Array, fold: boolean, origin: Origin): void => {
      for (let i = first; i < found.length; i++) {
        const other = found[i]
        if (other?.fold === fold && other.bytes.length === bytes.length && Buffer.compare(other.bytes, bytes) === 0)
          return
      }
      found.push({ bytes, fold, origin, nested })
    }
    for (const { bytes, fold, restate } of formsOf(value)) {
      const origin = { source, restate }
      add(bytes, fold, origin)
      // A view undoes escapes that belong to the secret itself, so it is looked for without them as well.
      for (let depth = 0, text = bytes; depth < UNESCAPE_DEPTH && text.some(isEscapeMark); depth++) {
        text = unescapeOnce(text)
        if (text.length >= SHORTEST_VALUE) add(text, fold, origin)
      }
    }
  }
  for (const { name, value, replacement } of secrets) {
    if (value.length < SHORTEST_VALUE) {
      throw new KeywardError(
        'secret_invalid',
        `The secret ${name} is shorter than ${SHORTEST_VALUE} bytes, so an answer cannot be checked for it.`,
      )
    }
    if (value.length > LONGEST_VALUE) {
      throw new KeywardError(
        'secret_invalid',
        `The secret ${name} is longer than ${LONGEST_VALUE} bytes, so an answer cannot be checked for it.`,
      )
    }
    addAll(value, { name, replacement: Buffer.from(replacement), valueLength: value.length })
  }
  for (const entry of derived) {
    const { text, replacement } = typeof entry === 'string' ? { text: entry, replacement: unnamed.toString() } : entry
    const value = Buffer.from(text)
    if (value.length < SHORTEST_VALUE || value.length > LONGEST_VALUE) continue
    addAll(value, { name: 'derived', replacement: Buffer.from(replacement), valueLength: value.length })
  }
  return NeedleSet.of(
    found.toSorted((a, b) => b.bytes.length - a.bytes.length),
    values,
  )
}

/** Nothing but characters that need no escape in JSON, a URL or HTML. */
function nameText(name: string): string {
  return `[keyward:${name.replaceAll(/[^A-Za-z0-9._-]/g, '_')}]`
}
