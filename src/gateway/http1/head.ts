import { METHODS } from 'node:http'
import type { HeaderPair } from '../../core/request.ts'

/**
 * Heads of HTTP/1.1 messages (RFC 9112), read strictly: line ends are CRLF, nothing is folded, nothing
 * is repaired, and the length of the body has one reading or none. What llhttp in its strict mode would
 * refuse is refused here; what is refused here only is named where it happens.
 */

/** All of a head, its last line break included. */
export const HEAD_MAXIMUM_BYTES = 64 * 1024
export const HEADERS_MAXIMUM_COUNT = 200
/** Nearly every head is shorter, and what stands behind it need not be read with it. */
const HEAD_USUAL_BYTES = 4 * 1024
/** The line break, twice. */
const END = '\r\n\r\n'
/** Names of headers that are remembered, so that each is looked through once; whoever sends may choose any. */
const NAMES_MAXIMUM = 4_096
const NAME_REMEMBERED_MAXIMUM_CHARACTERS = 64

export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  /** Until the connection ends; answers only. */
  | { readonly kind: 'close' }

export interface RequestLine {
  readonly method: string
  readonly target: string
  readonly version: '1.0' | '1.1'
}

export interface ReadRequest extends RequestLine {
  readonly headers: readonly HeaderPair[]
  readonly framing: Framing
  readonly keepAlive: boolean
  readonly expectsContinue: boolean
  /** Lower-case value of Upgrade, where Connection says that it is meant. */
  readonly upgrade: string | null
}

export interface ReadAnswer {
  readonly version: '1.0' | '1.1'
  readonly status: number
  readonly headers: readonly HeaderPair[]
  readonly framing: Framing
  readonly keepAlive: boolean
}

/** Why a head was not read. */
export interface Fault {
  readonly fault: 'malformed' | 'too-large'
}

const malformed: Fault = { fault: 'malformed' }
const tooLarge: Fault = { fault: 'too-large' }
const none: Framing = { kind: 'none' }
const chunked: Framing = { kind: 'chunked' }
const close: Framing = { kind: 'close' }

export function isFault(value: object | null): value is Fault {
  return value !== null && 'fault' in value
}

/** The head with which `bytes` begin, its last line break included, a character a byte; null: it is not whole; a fault: it never will be, within the bound. */
export function headText(bytes: Buffer): string | null | Fault {
  // Looking through a short text costs less than looking through bytes; a long head comes in many pieces.
  if (bytes.length > HEAD_USUAL_BYTES) return longHead(bytes)
  const text = bytes.toString('latin1')
  const at = text.indexOf(END)
  return at < 0 ? null : text.slice(0, at + END.length)
}

function longHead(bytes: Buffer): string | null | Fault {
  const at = bytes.indexOf(END, 0, 'latin1')
  const end = at + END.length
  if (at < 0 || end > HEAD_MAXIMUM_BYTES) return bytes.length >= HEAD_MAXIMUM_BYTES ? tooLarge : null
  return bytes.toString('latin1', 0, end)
}

/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** RFC 9112 section 3: one space between the parts, and nothing in the target that ends it. */
const REQUEST_LINE = /^([A-Z-]{1,32}) ([\x21-\x7e]+) HTTP\/1\.([01])$/
/** Origin form, absolute form with the characters of an authority (RFC 3986 section 3.2), asterisk form. */
const TARGET = /^(?:\/|[A-Za-z]+:\/\/[0-9A-Za-z\-._~!$&'()*+,;=:@%[\]]*(?:[/?]|$)|\*$)/
const AUTHORITY = /^[0-9A-Za-z\-._~!$&'()*+,;=:@%[\]]+$/
/** A method that nobody has registered has no meaning that policy could know. */
const methods: ReadonlySet<string> = new Set(METHODS)
/** RFC 9112 section 4. The reason may be empty; the space before it may then be missing, as many servers leave it out. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/
/** What RFC 9110 section 5.5 allows in a value. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const LENGTH = /^(?:0|[1-9][0-9]{0,14})$/

/** The request with this head, as `headText` found it. */
export function readRequest(text: string): ReadRequest | Fault {
  const lineEnd = text.indexOf('\r\n')
  const line = REQUEST_LINE.exec(text.slice(0, lineEnd))
  if (line === null) return malformed
  const [, method = '', target = '', minor] = line
  if (!methods.has(method) || !(method === 'CONNECT' ? AUTHORITY : TARGET).test(target)) return malformed
  const version = minor === '0' ? '1.0' : '1.1'
  const headers = readHeaders(text, lineEnd + 2, text.length - 2)
  if (isFault(headers)) return headers
  const facts = connectionFacts(headers)
  const framing = framingOf(facts, version)
  if (isFault(framing)) return framing
  // A client of 1.0 does not know of interim answers.
  const expectsContinue = facts.expect !== null && version === '1.1' && facts.expect.toLowerCase() === '100-continue'
  return {
    method,
    target,
    version,
    headers,
    framing: framing ?? none,
    keepAlive: version === '1.1' ? !facts.closes : facts.keepsAlive,
    expectsContinue,
    upgrade: facts.upgrades ? facts.upgrade : null,
  }
}

/** The answer with this head to a request of this method. */
export function readAnswer(text: string, method: string): ReadAnswer | Fault {
  const lineEnd = text.indexOf('\r\n')
  const line = STATUS_LINE.exec(text.slice(0, lineEnd))
  if (line === null) return malformed
  const version = line[1] === '0' ? '1.0' : '1.1'
  const status = Number(line[2])
  const headers = readHeaders(text, lineEnd + 2, text.length - 2)
  if (isFault(headers)) return headers
  const facts = connectionFacts(headers)
  const framing = framingOf(facts, version)
  if (isFault(framing)) return framing
  // RFC 9112 section 6.3: these have no body, whatever their headers say.
  const bodiless = status < 200 || status === 204 || status === 304 || method === 'HEAD'
  return {
    version,
    status,
    headers,
    framing: bodiless ? none : (framing ?? close),
    keepAlive: (version === '1.1' ? !facts.closes : facts.keepsAlive) && (bodiless || framing !== null),
  }
}

/** Headers that say where a body ends. */
export const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding'])

/** The field lines of `text` from `at` up to `end`, each ended by CRLF; names in lower case. Also reads trailers. */
export function readHeaders(text: string, at: number, end = text.length): HeaderPair[] | Fault {
  const headers: HeaderPair[] = []
  while (at < end) {
    const lineEnd = text.indexOf('\r\n', at)
    const colon = text.indexOf(':', at)
    if (lineEnd < 0 || colon < 0 || colon > lineEnd) return malformed
    // A space before the colon, or at the beginning of a line (a fold), is part of what should be a token.
    const name = nameOf(text.slice(at, colon))
    if (name === null) return malformed
    let first = colon + 1
    let last = lineEnd
    while (first < last && isBlank(text.charCodeAt(first))) first++
    while (last > first && isBlank(text.charCodeAt(last - 1))) last--
    const value = text.slice(first, last)
    if (!VALUE.test(value)) return malformed
    // White space by RFC 9110 section 5.6.3, but not to every parser, and here the body depends on it.
    if (text.charCodeAt(lineEnd - 1) === 0x09 && FRAMING.has(name)) return malformed
    if (headers.push([name, value]) > HEADERS_MAXIMUM_COUNT) return tooLarge
    at = lineEnd + 2
  }
  return headers
}

const names = new Map<string, string>()

/** The name in lower case, or null where it is none. */
function nameOf(written: string): string | null {
  const known = names.get(written)
  if (known !== undefined) return known
  if (!TOKEN.test(written)) return null
  const name = written.toLowerCase()
  if (written.length > NAME_REMEMBERED_MAXIMUM_CHARACTERS) return name
  if (names.size >= NAMES_MAXIMUM) names.clear()
  // Copies, for a part of a text keeps all of it in memory, and this text is a head.
  names.set(copyOf(written), copyOf(name))
  return name
}

function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

interface ConnectionFacts {
  length: string | null
  transfer: string | null
  /** A header of framing that stands there twice. */
  doubled: boolean
  closes: boolean
  keepsAlive: boolean
  upgrades: boolean
  upgrade: string | null
  expect: string | null
}

function connectionFacts(headers: readonly HeaderPair[]): ConnectionFacts {
  const facts: ConnectionFacts = {
    length: null,
    transfer: null,
    doubled: false,
    closes: false,
    keepsAlive: false,
    upgrades: false,
    upgrade: null,
    expect: null,
  }
  for (const [name, value] of headers) {
    switch (name) {
      case 'content-length':
        facts.doubled ||= facts.length !== null
        facts.length = value
        break
      case 'transfer-encoding':
        facts.doubled ||= facts.transfer !== null
        facts.transfer = value
        break
      case 'connection':
        for (const part of value.split(',')) {
          const token = part.trim().toLowerCase()
          facts.closes ||= token === 'close'
          facts.keepsAlive ||= token === 'keep-alive'
          facts.upgrades ||= token === 'upgrade'
        }
        break
      case 'upgrade':
        facts.upgrade = facts.upgrade === null ? value.toLowerCase() : `${facts.upgrade}, ${value.toLowerCase()}`
        break
      case 'expect':
        facts.expect = facts.expect === null ? value : `${facts.expect}, ${value}`
        break
    }
  }
  return facts
}

/** RFC 9112 sections 6.1 and 6.3, without the ways in which it lets a proxy choose; null: no header says. */
function framingOf({ length, transfer, doubled }: ConnectionFacts, version: '1.0' | '1.1'): Framing | null | Fault {
  if (doubled) return malformed
  if (transfer !== null) {
    if (length !== null || version === '1.0' || transfer.toLowerCase() !== 'chunked') return malformed
    return chunked
  }
  if (length === null) return null
  if (!LENGTH.test(length)) return malformed
  return length === '0' ? none : { kind: 'length', bytes: Number(length) }
}
