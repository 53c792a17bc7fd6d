import { isMethod } from './form-method.ts'
import type { Refusal } from './refusal.ts'

/** Headers of one part of a body. Longer ones are refused: a name could stand behind them. */
export const PART_HEADERS_MAXIMUM_BYTES = 8 * 1024

const TYPE = /^\s*multipart\/[a-z0-9.+-]+\s*/iy
/** RFC 9110 section 5.6.6, without escapes in quotes. */
const PARAMETER = /;\s*([!#$%&'*+.^_`|~0-9a-z-]+)=(?:"([^"\\]*)"|([^\s;",]+))\s*/iy
/** RFC 2046 section 5.1.1. */
const BOUNDARY = /^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$/
const HEADERS_END = Buffer.from('\r\n\r\n', 'latin1')

const changesMethod: Refusal = { refusal: 'method_refused', detail: 'A part of the body would change the method.' }
const notPlain: Refusal = { refusal: 'request_malformed', detail: 'The boundary of the parts is not plain.' }
const unreadable: Refusal = { refusal: 'request_malformed', detail: 'The parts of the body have no plain headers.' }

/** The boundary of a body of several parts, or the refusal of one that two readers could see in two places. */
export function boundaryOf(contentType: string): string | Refusal {
  let found: string | null = null
  TYPE.lastIndex = 0
  let at = TYPE.test(contentType) ? TYPE.lastIndex : -1
  while (at >= 0 && at < contentType.length) {
    PARAMETER.lastIndex = at
    const [whole = '', name = '', quoted, plain = ''] = PARAMETER.exec(contentType) ?? []
    if (name.toLowerCase() === 'boundary' && found === null) {
      found = quoted ?? plain
      // Some readers take what follows the first text `boundary`, wherever it stands.
      if (contentType.search(/boundary/i) !== at + whole.indexOf(name)) return notPlain
    } else if (/boundary/i.test(whole)) return notPlain
    at = whole === '' ? -1 : at + whole.length
  }
  return at < 0 || found === null || !BOUNDARY.test(found) ? notPlain : found
}

/**
 * Finds the part `_method` of a body in several parts, in pieces of any size, without holding what the parts hold.
 * Every place where the boundary is written counts as one where a part begins: whatever else a reader asks for
 * there (a line break before it, no text after it), the parts that it finds are among these.
 */
export class PartNames {
  readonly #delimiter: Buffer
  /** The headers of a part, as far as they came; otherwise what may be the beginning of a delimiter. */
  #held: Buffer = Buffer.alloc(0)
  #isInHeaders = false

  constructor(boundary: string) {
    this.#delimiter = Buffer.from(`--${boundary}`, 'latin1')
  }

  push(bytes: Uint8Array): Refusal | null {
    let rest = this.#beginWith(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    for (;;) {
      if (!this.#isInHeaders) {
        const at = rest.indexOf(this.#delimiter)
        if (at < 0) break
        rest = this.#enterHeaders(rest.subarray(at + this.#delimiter.length))
      }
      const end = rest.indexOf(HEADERS_END)
      if (Math.max(end, end < 0 ? rest.length : 0) > PART_HEADERS_MAXIMUM_BYTES) return unreadable
      if (end < 0) break
      const refusal = faultOf(rest.toString('latin1', 0, end))
      if (refusal !== null) return refusal
      // The line end of the headers may be the one before the next delimiter.
      rest = rest.subarray(end)
      this.#isInHeaders = false
    }
    this.#hold(rest)
    return null
  }

  /** What there is to read now. Of what a part holds only the seam is put together, so that it is not copied. */
  #beginWith(bytes: Buffer): Buffer {
    if (this.#isInHeaders) return this.#enterHeaders(Buffer.concat([this.#held, bytes]))
    const seam = Buffer.concat([this.#held, bytes.subarray(0, this.#delimiter.length - 1)])
    const at = seam.indexOf(this.#delimiter)
    return at < 0 ? bytes : this.#enterHeaders(bytes.subarray(at + this.#delimiter.length - this.#held.length))
  }

  #enterHeaders(bytes: Buffer): Buffer {
    this.#isInHeaders = true
    this.#held = Buffer.alloc(0)
    return bytes
  }

  #hold(rest: Buffer): void {
    const longest = this.#delimiter.length - 1
    if (this.#isInHeaders) this.#held = Buffer.from(rest)
    else if (rest.length >= longest) this.#held = Buffer.from(rest.subarray(rest.length - longest))
    else this.#held = Buffer.concat([this.#held, rest]).subarray(-longest)
  }

  /** Headers that never end are headers to a reader that is content with other line ends. */
  end(): Refusal | null {
    return this.#isInHeaders && namesMethod(this.#held.toString('latin1')) ? changesMethod : null
  }
}

function faultOf(headers: string): Refusal | null {
  if (namesMethod(headers)) return changesMethod
  return CONTROL.test(headers.replaceAll('\r\n', '')) || ENCODED_NAME.test(headers) ? unreadable : null
}

// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/
/** A name in pieces (RFC 2231 section 3) or in words of another encoding (RFC 2047): no client writes one so. */
const ENCODED_NAME = /(?<![A-Za-z0-9-])name\s*(?:\*\s*\d|=\s*"?=\?)/i

/** Where a name may stand: the parameter of Content-Disposition, also as RFC 8187 writes it, and Content-ID, which Rack takes where there is none. */
const NAMES = /(?:(?<![A-Za-z0-9-])name\s*\*?\s*=\s*|(?<![A-Za-z0-9-])content-id\s*:\s*)(?=([^\r\n]{0,256}))/gi

function namesMethod(headers: string): boolean {
  for (const [, written = ''] of headers.matchAll(NAMES)) if (readingsOf(written).some(isMethod)) return true
  return false
}

/** What readers make of the text behind `name=`: up to the next quote, escaped or not, or to the end of a token. */
function readingsOf(written: string): string[] {
  const texts = written.startsWith('"')
    ? [
        /^"([^"]*)/.exec(written)?.[1] ?? '',
        (/^"((?:[^"\\]|\\.)*)/.exec(written)?.[1] ?? '').replaceAll(/\\(.)/g, '$1'),
      ]
    : [/^[^;\s]*/.exec(written)?.[0] ?? '']
  return texts.flatMap((text) => [text, text.replaceAll('\\', ''), text.replace(/^[^']*'[^']*'/, '')]).map(bare)
}

/** Without what stands around a name and is no part of it. */
function bare(text: string): string {
  return text.replace(/^['"<\s]+|['">\s]+$/g, '')
}
