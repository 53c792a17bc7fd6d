import type { Restate } from './encodings.ts'
import { LetterIndex } from './letter-index.ts'
import { NeedlePacker, NEEDLES_MAXIMUM } from './needle-packer.ts'
import {
  COMMON_FORMS,
  ENCODED_FROM_BYTES,
  FEWEST_LETTERS,
  lettersOf,
  plainForm,
  squeezedForms,
} from './squeezed-forms.ts'
import type { Parts } from './squeezed-forms.ts'

/** A form is indexed by so many of its letters; what follows is compared when they are found. */
export const INDEXED_LETTERS_MAXIMUM = 128
/** A part that occurs in more secrets than this says nothing (the head of every JWT), and is not looked for. */
const COMMON_FROM = 8
/** A part with fewer different letters is no part of a key. */
const FEWEST_DIFFERENT = 3

/** With more values than this, the forms that hardly anybody writes are left out: they are more than half of all. */
export const RARE_FORMS_VALUES_MAXIMUM = 2_000

const WHOLE = -1

/** One form of one value. */
export interface FormOfValue {
  /** Number of the value, as given to `squeezedIndexOf`. */
  readonly value: number
  readonly letters: Uint8Array
  readonly restate: Restate
  readonly parts: Parts | undefined
}

/** The squeezed forms of all values, ready to be searched. */
export class SqueezedIndex {
  readonly index: LetterIndex
  readonly #values: readonly Uint8Array[]
  /** By needle: `value * forms + form`, and where in the form it begins, or `WHOLE`. */
  readonly #keys: Float64Array
  readonly #offsets: Int32Array
  readonly #recent = new Map<number, FormOfValue>()

  private constructor(index: LetterIndex, values: readonly Uint8Array[], keys: Float64Array, offsets: Int32Array) {
    this.index = index
    this.#values = values
    this.#keys = keys
    this.#offsets = offsets
  }

  static of(values: readonly Uint8Array[]): SqueezedIndex {
    const collector = new FormCollector()
    const forms = values.length > RARE_FORMS_VALUES_MAXIMUM ? COMMON_FORMS : squeezedForms.length
    for (const [number, value] of values.entries()) {
      // Of a short value with few letters nothing is looked for by letters alone: it could be anything.
      if (value.length >= ENCODED_FROM_BYTES || hasEnoughLetters(value)) collector.add(number, value, forms)
    }
    const { wholes, parts } = collector
    parts.dropCommon(COMMON_FROM)
    const count = wholes.count + parts.count
    if (count > NEEDLES_MAXIMUM) throw new TypeError('there are more needles than an index can hold')
    const packed = wholes.joined(parts)
    const index = new LetterIndex({ pool: packed.pool, starts: packed.starts, wholes: wholes.count })
    return new SqueezedIndex(index, values, packed.keys, packed.offsets)
  }

  /** The form that a needle belongs to, by a number that is the same for all needles of the form. */
  formOf(needle: number): number {
    return this.#keys[needle] ?? 0
  }

  /** Where in its form a needle begins if it is a part, or -1 if it is the beginning of the whole. */
  offsetOf(needle: number): number {
    return this.#offsets[needle] ?? WHOLE
  }

  form(number: number): FormOfValue {
    const known = this.#recent.get(number)
    if (known !== undefined) return known
    const value = Math.floor(number / squeezedForms.length)
    const form = squeezedForms[number - value * squeezedForms.length]
    if (form === undefined) throw new TypeError('there is no such form')
    const made = {
      value,
      letters: lettersOf(form.write(this.#values[value] ?? new Uint8Array(0))),
      restate: form.restate,
      parts: form.parts,
    }
    if (this.#recent.size >= 64) this.#recent.clear()
    this.#recent.set(number, made)
    return made
  }
}

/** Collects the needles of one value after the other. */
class FormCollector {
  readonly wholes = new NeedlePacker()
  readonly parts = new NeedlePacker()
  readonly #seen = new Set<number>()
  readonly #stamps = new Uint32Array(256)
  #stamp = 0

  add(number: number, value: Uint8Array, forms: number): void {
    this.#seen.clear()
    for (let form = 0; form < forms; form++) {
      const { write, parts } = squeezedForms[form] ?? plainForm
      const letters = lettersOf(write(value))
      // Some forms of some values are the same.
      if (letters.length < FEWEST_LETTERS || this.#isKnown(letters)) continue
      const key = number * squeezedForms.length + form
      this.wholes.add(letters.subarray(0, INDEXED_LETTERS_MAXIMUM), key, WHOLE)
      if (parts !== undefined) this.#addParts(letters, key, parts)
    }
  }

  #isKnown(letters: Uint8Array): boolean {
    let one = letters.length
    let two = 0
    for (let i = 0; i < letters.length; i++) {
      one = Math.imul(one ^ (letters[i] ?? 0), 0x9e3779b1)
      two = Math.imul(two + (letters[i] ?? 0), 0x85ebca6b)
    }
    const hash = (one >>> 0) * 0x20_0000 + (two >>> 11)
    if (this.#seen.has(hash)) return true
    this.#seen.add(hash)
    return false
  }

  /** A part with too few different letters is moved until it has enough, and left out where that takes too long. */
  #addParts(letters: Uint8Array, key: number, { length, stride }: Parts): void {
    const last = letters.length - length
    for (let at = 0; at < last; at += stride) {
      const limit = Math.min(last, at + stride)
      let start = at
      while (start < limit && !this.#tells(letters, start, length)) start++
      if (start < limit) this.parts.add(letters.subarray(start, start + length), key, start)
    }
    // So that what comes last holds one too.
    let start = last
    while (start > last - stride && start >= 0 && !this.#tells(letters, start, length)) start--
    if (start > last - stride && start >= 0) this.parts.add(letters.subarray(start, start + length), key, start)
  }

  #tells(letters: Uint8Array, at: number, length: number): boolean {
    const stamp = ++this.#stamp
    let different = 0
    for (let i = at; i < at + length; i++) {
      const letter = letters[i] ?? 0
      if (this.#stamps[letter] !== stamp) different++
      this.#stamps[letter] = stamp
    }
    return different >= FEWEST_DIFFERENT
  }
}

/** Whether a value is recognised by its own letters, so that no reading needs to be searched for it byte by byte. */
export function hasEnoughLetters(value: Uint8Array): boolean {
  return lettersOf(value).length >= FEWEST_LETTERS
}
