/**
 * Short texts that are looked for together, where most of what is searched holds none of them: two bytes at a
 * time are enough to pass over nearly everything. Each has at least three bytes.
 */
export class Marks {
  readonly #byFirst: readonly (readonly Uint8Array[] | undefined)[]
  /** By pair of neighbouring bytes: 1 for the first and the second pair of every mark. One of them begins at an even place. */
  readonly #pairs = new Uint8Array(65_536)

  constructor(texts: readonly string[]) {
    const marks = texts.map((text) => Buffer.from(text))
    for (const mark of marks) {
      if (mark.length < 3) throw new RangeError('a mark has at least three bytes')
      for (const at of [0, 1]) this.#pairs[(mark[at] ?? 0) | ((mark[at + 1] ?? 0) << 8)] = 1
    }
    this.#byFirst = Array.from({ length: 256 }, (_, byte) => {
      const candidates = marks.filter((mark) => mark[0] === byte)
      return candidates.length === 0 ? undefined : candidates
    })
  }

  /** Where the first mark at or after `from` begins; -1 if there is none. */
  next(text: Uint8Array, from: number): number {
    const pairs = this.#pairs
    const last = text.length - 4
    let at = from
    for (; at <= last; at += 4) {
      const first = (text[at] ?? 0) | ((text[at + 1] ?? 0) << 8)
      const second = (text[at + 2] ?? 0) | ((text[at + 3] ?? 0) << 8)
      if (((pairs[first] ?? 0) | (pairs[second] ?? 0)) === 0) continue
      const found = this.#near(text, Math.max(from, at - 1), at + 3)
      if (found >= 0) return found
    }
    return this.#near(text, Math.max(from, at - 1), text.length)
  }

  /** Whether one begins at exactly `at`. */
  beginsAt(text: Uint8Array, at: number): boolean {
    return this.#near(text, at, at + 1) === at
  }

  #near(text: Uint8Array, from: number, to: number): number {
    for (let at = from; at < to; at++) {
      const candidates = this.#byFirst[text[at] ?? 0]
      if (candidates === undefined) continue
      for (const mark of candidates) if (goesOn(text, at, mark)) return at
    }
    return -1
  }
}

/** Whether `mark`, whose first byte stands there, goes on. */
function goesOn(text: Uint8Array, at: number, mark: Uint8Array): boolean {
  for (let i = 1; i < mark.length; i++) if (text[at + i] !== mark[i]) return false
  return true
}
