import { leadsLetter, letterOf } from './letters.ts'
import { tagEnd } from './markup.ts'
import { quotedBefore, upperHexDigit } from './quoted-printable.ts'
import { controlLength, CUT, LONGEST_CONTROL_BYTES } from './terminal.ts'
import { hexDigit, isAlphanumeric, referenceValue } from './unescape.ts'

/** How many escape characters may be written by an escape in turn, one within the other. */
export const NESTED_ESCAPES_MAXIMUM = 8
/** The longest name or number between `&` and `;`. */
export const LONGEST_REFERENCE = 10

/** Where `CUT` means that more must be known: it is known that there is no such thing. */
const NONE = -2
const PERCENT = 0x25
const AMPERSAND = 0x26
const LESS = 0x3c
const EQUALS = 0x3d
const BACKSLASH = 0x5c
const ESC = 0x1b

/**
 * Reads one character that is written by more than one byte, or that is not shown: how long it is, and which
 * letter it stands for. Escapes within escapes are undone in one go (`%2573`, `\\u0073`, `&amp;#115;` and
 * `%5Cu0073` are all one `s`). One object serves many calls; nothing is kept between them.
 */
export class WrittenCharacter {
  /** Length in bytes, or `CUT`: the text ends before it is known. */
  length = 1
  /** The letter (see `letterOf`), or 0. */
  letter = 0
  /** Whether an escape was undone, and not a mere mark passed over. */
  undone = false
  #text: Uint8Array = new Uint8Array(0)
  #end = 0
  #final = false
  #depth = 0

  /** At a control character or a byte from 0x80 on: terminal sequences and characters of other alphabets. */
  readShown(text: Uint8Array, at: number, end: number, final: boolean): void {
    this.#begin(text, end, final)
    if (text[at] === ESC) this.#finish(at, this.#control(at + 1))
    else this.#readUtf8(at)
  }

  /** At any byte that `readShown` knows, or at `%`, `\`, `&`, `<` or `=`: escapes and tags as well. */
  readEscaped(text: Uint8Array, at: number, end: number, final: boolean): void {
    this.#begin(text, end, final)
    const byte = text[at] ?? 0
    if (byte === LESS) this.#finish(at, this.#tag(at + 1))
    else if (byte === EQUALS) this.#finish(at, this.#quotedPrintable(at + 1))
    else if (byte === PERCENT || byte === BACKSLASH || byte === AMPERSAND) this.#finish(at, this.#after(byte, at + 1))
    else if (byte === ESC) this.#finish(at, this.#control(at + 1))
    else this.#readUtf8(at)
  }

  #begin(text: Uint8Array, end: number, final: boolean): void {
    this.#text = text
    this.#end = end
    this.#final = final
    this.#depth = 0
    this.letter = 0
    this.undone = false
  }

  #finish(at: number, next: number): void {
    this.length = next === CUT ? CUT : next - at
  }

  /** What follows the escape character `mark`, up to the position returned, or `CUT`. */
  #after(mark: number, at: number): number {
    if (mark === PERCENT) return this.#percent(at)
    if (mark === BACKSLASH) return this.#backslash(at)
    return this.#reference(at)
  }

  /** An escape meant the character `code`; what follows it may belong to an escape that it begins. */
  #meant(code: number, at: number): number {
    this.undone = true
    if (++this.#depth <= NESTED_ESCAPES_MAXIMUM) {
      if (code === PERCENT || code === BACKSLASH || code === AMPERSAND) return this.#after(code, at)
      if (code === ESC) return this.#control(at)
      if (code === LESS) return this.#tag(at)
    }
    this.letter = letterOf(code)
    return at
  }

  #control(at: number): number {
    const mark = this.#text[at]
    if (mark === PERCENT || mark === BACKSLASH) return this.#escapedControl(at)
    const length = controlLength(this.#text, at, this.#end, this.#final)
    if (length === CUT) return CUT
    if (length > 0) this.undone = true
    return at + length
  }

  /** A control sequence of which the bytes after ESC are escaped in turn. */
  #escapedControl(from: number): number {
    const first = this.#byte(from)
    if (first === CUT) return CUT
    if (first !== 0x5b) return from
    for (let at = this.#next, i = 0; i < LONGEST_CONTROL_BYTES; at = this.#next, i++) {
      const byte = this.#byte(at)
      if (byte === CUT) return CUT
      if (byte >= 0x40 && byte <= 0x7e) return this.#next
      if (byte < 0x20 || byte > 0x3f) return from
    }
    return from
  }

  /** The code of `u` and four digits. */
  #fourDigits(from: number): number {
    let code = 0
    for (let at = from; at < from + 5; at++) {
      if (at >= this.#end) return this.#final ? NONE : CUT
      const byte = this.#text[at] ?? 0
      const digit = hexDigit(byte)
      if (at === from ? byte !== 0x75 : digit < 0) return NONE
      if (at > from) code = code * 16 + digit
    }
    this.#next = from + 5
    return code
  }

  /** The character at `at`, with its escapes undone if they are `%HH` or `\uHHHH`; `#next` is behind it. */
  #byte(at: number): number {
    if (at >= this.#end) return this.#final ? NONE : CUT
    let code = this.#text[at] ?? 0
    let next = at + 1
    for (let depth = 0; depth < NESTED_ESCAPES_MAXIMUM && (code === PERCENT || code === BACKSLASH); depth++) {
      if (code === BACKSLASH) while (next - at < NESTED_ESCAPES_MAXIMUM && this.#text[next] === BACKSLASH) next++
      const meant = code === PERCENT ? this.#percentByte(next) : this.#fourDigits(next)
      if (meant === CUT) return CUT
      if (meant === NONE) break
      code = meant
      next = this.#next
    }
    this.#next = next
    return code
  }

  #percent(at: number): number {
    const byte = this.#percentByte(at)
    if (byte < 0) return byte === CUT ? CUT : at
    const next = this.#next
    if (byte < 0x80) return this.#meant(byte, next)
    return this.#percentUtf8(byte, next)
  }

  #next = 0

  /** Two digits, each of which may itself be written by percent (`%25%37%33`). `NONE`: they are none. */
  #percentByte(at: number): number {
    const high = this.#digit(at)
    if (high < 0) return high
    const low = this.#digit(this.#next)
    return low < 0 ? low : high * 16 + low
  }

  #digit(at: number): number {
    const text = this.#text
    if (at >= this.#end) return this.#final ? NONE : CUT
    const byte = text[at] ?? 0
    this.#next = at + 1
    if (byte !== PERCENT) return digitOf(byte)
    if (at + 2 >= this.#end) return this.#final ? NONE : CUT
    const high = hexDigit(text[at + 1] ?? 0)
    const low = hexDigit(text[at + 2] ?? 0)
    this.#next = at + 3
    // `%25` within stands for a percent sign once more, and not for a digit.
    return high < 0 || low < 0 ? NONE : digitOf(high * 16 + low)
  }

  /** A character of several bytes, each with its own percent sign. */
  #percentUtf8(first: number, at: number): number {
    this.undone = true
    const size = sequenceLength(first)
    let code = size === 0 ? 0 : first & (0x7f >> size)
    let next = at
    for (let i = 1; i < size; i++) {
      if (next >= this.#end) return this.#final ? at : CUT
      if (this.#text[next] !== PERCENT) return at
      const byte = this.#percentByte(next + 1)
      if (byte === CUT) return CUT
      if (byte < 0x80 || byte > 0xbf) return at
      code = code * 64 + (byte & 63)
      next = this.#next
    }
    if (size > 0) this.letter = letterOf(code)
    return next
  }

  #backslash(from: number): number {
    const text = this.#text
    let at = from
    let kind = BACKSLASH
    // A row of backslashes, which may be escaped in turn, and the first character that is none.
    for (let depth = 0; depth < 4 * NESTED_ESCAPES_MAXIMUM; depth++) {
      if (at >= this.#end) return this.#final ? at : CUT
      kind = text[at] ?? 0
      this.#next = at + 1
      for (let inner = 0; inner < NESTED_ESCAPES_MAXIMUM && kind === PERCENT; inner++) {
        const next = this.#next
        kind = this.#percentByte(next)
        if (kind === CUT) return CUT
        if (kind === NONE) this.#next = next
      }
      if (kind !== BACKSLASH) break
      at = this.#next
    }
    const last = this.#next - 1
    switch (kind) {
      case 0x75: // u
        return this.#unicode(at, last)
      case 0x78: // x
        return this.#digits(at, last, 2)
      case 0x55: // U
        return this.#digits(at, last, 8)
      case 0x62: // b
      case 0x66: // f
      case 0x6e: // n
      case 0x72: // r
      case 0x74: // t
      case 0x76: // v
        this.undone = true
        return last + 1
      case 0x65: // e, as shells write ESC
        if (at + 1 >= this.#end) return this.#final ? at : CUT
        return text[at + 1] === 0x5b ? this.#meant(ESC, at + 1) : at
      default:
        return kind >= 0x30 && kind <= 0x37 && last === at ? this.#octal(at) : at
    }
  }

  /** `\u0073` (also with several `u`, as Java allows), `\u{73}`, and two halves of a surrogate pair. */
  #unicode(at: number, first: number): number {
    const text = this.#text
    let last = first
    while (last + 1 < this.#end && last - first < NESTED_ESCAPES_MAXIMUM && text[last + 1] === 0x75) last++
    this.#code = 0
    const next = this.#digits(at, last, 4)
    const high = this.#code
    if (next === CUT || high < 0xd800 || high > 0xdbff) return next
    this.letter = 0
    let second = next
    while (second < this.#end && second - next < NESTED_ESCAPES_MAXIMUM && text[second] === BACKSLASH) second++
    if (second >= this.#end) return this.#final ? next : CUT
    if (second === next || text[second] !== 0x75) return next
    const end = this.#digits(second, second, 4)
    if (end === CUT) return CUT
    const low = this.#code
    if (low < 0xdc00 || low > 0xdfff) {
      this.letter = 0
      return next
    }
    this.letter = letterOf(0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00))
    return end
  }

  #code = 0

  /** Exactly `count` hexadecimal digits behind `last`, or any number of them in braces; `at` if they are not there. */
  #digits(at: number, last: number, count: number): number {
    const isBraced = this.#text[last + 1] === 0x7b
    const most = isBraced ? LONGEST_REFERENCE : count
    let code = 0
    let next = isBraced ? last + 2 : last + 1
    let read = 0
    for (; read < most; read++) {
      const byte = this.#byte(next)
      if (byte === CUT) return CUT
      const digit = byte === NONE ? -1 : hexDigit(byte)
      if (digit < 0) break
      code = code * 16 + digit
      next = this.#next
    }
    if (isBraced) {
      if (next >= this.#end && !this.#final) return CUT
      if (read === 0 || this.#text[next] !== 0x7d) return at
      next++
    } else if (read < count) return at
    this.#code = code
    return this.#meant(code, next)
  }

  #octal(at: number): number {
    const text = this.#text
    let code = 0
    let i = at
    for (; i < at + 3; i++) {
      if (i >= this.#end) {
        if (this.#final) break
        return CUT
      }
      const digit = (text[i] ?? 0) - 0x30
      if (digit < 0 || digit > 7) break
      code = code * 8 + digit
    }
    return code > 0xff ? at : this.#meant(code, i)
  }

  /** `&#115;`, `&#x73;`, or a name, which never stands for a letter. */
  #reference(at: number): number {
    const text = this.#text
    const limit = Math.min(this.#end, at + LONGEST_REFERENCE)
    for (let i = at; i < limit; i++) {
      const byte = text[i] ?? 0
      if (byte === 0x3b) return i === at ? at : this.#referred(at, i)
      if (!isAlphanumeric(byte) && !(byte === 0x23 && i === at)) return at
    }
    return limit < at + LONGEST_REFERENCE && !this.#final ? CUT : at
  }

  #referred(from: number, to: number): number {
    const code = referenceValue(this.#text, from, to)
    if (code >= 0) return this.#meant(code, to + 1)
    return this.#text[from] === 0x23 ? from : this.#meant(0, to + 1)
  }

  #tag(at: number): number {
    const next = tagEnd(this.#text, at, this.#end, this.#final)
    if (next > at) this.undone = true
    return next
  }

  /** `=3D`: RFC 2045 section 6.7. A letter so written counts only in a row of them or at its end, for `key=ABC` is far more common. */
  #quotedPrintable(at: number): number {
    const text = this.#text
    const high = at < this.#end ? (text[at] ?? 0) - 0x30 : 2
    if (high < 2 || high > 7) return at
    if (at + 1 >= this.#end) return this.#final ? at : CUT
    const low = upperHexDigit(text[at + 1] ?? 0)
    if (low < 0) return at
    const code = high * 16 + low
    if (letterOf(code) === 0) {
      this.undone = true
      return at + 2
    }
    if (at + 2 >= this.#end && !this.#final) return CUT
    return text[at + 2] === EQUALS || quotedBefore(text, at - 1) > 0 ? this.#meant(code, at + 2) : at
  }

  #readUtf8(at: number): void {
    const text = this.#text
    const first = text[at] ?? 0
    this.length = 1
    if (leadsLetter[first] === 0) return
    const size = sequenceLength(first)
    let code = first & (0x7f >> size)
    for (let i = 1; i < size; i++) {
      if (at + i >= this.#end) {
        if (!this.#final) this.length = CUT
        return
      }
      const byte = text[at + i] ?? 0
      if (byte < 0x80 || byte > 0xbf) return
      code = code * 64 + (byte & 63)
    }
    this.length = size
    // The control sequence introducer in one character.
    if (code === 0x9b) this.#finish(at, this.#introduced(at + size))
    else this.letter = letterOf(code)
  }

  #introduced(at: number): number {
    const text = this.#text
    for (let i = at; i < Math.min(this.#end, at + LONGEST_REFERENCE); i++) {
      const byte = text[i] ?? 0
      if (byte >= 0x40 && byte <= 0x7e) return i + 1
      if (byte < 0x20 || byte > 0x3f) return at
    }
    return at + LONGEST_REFERENCE > this.#end && !this.#final ? CUT : at
  }
}

/** Length of a UTF-8 sequence by its first byte; 0 if none begins so. */
function sequenceLength(first: number): number {
  if (first >= 0xc2 && first <= 0xdf) return 2
  if (first >= 0xe0 && first <= 0xef) return 3
  return first >= 0xf0 && first <= 0xf4 ? 4 : 0
}

function digitOf(byte: number): number {
  const digit = hexDigit(byte)
  return digit < 0 ? NONE : digit
}
