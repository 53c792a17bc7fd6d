import { createHash, createHmac } from 'node:crypto'
import type { HeaderPair } from '../core/request.ts'

export const ALGORITHM = 'AWS4-HMAC-SHA256'

/** For what a signature is good: a day (`YYYYMMDD`), a region and a service. */
export interface Scope {
  readonly date: string
  readonly region: string
  readonly service: string
}

export interface Signable {
  readonly method: string
  /** Path and query as they are sent. */
  readonly target: string
  /** One byte a character, as they are sent. */
  readonly headers: readonly HeaderPair[]
  /** What stands for the body: its SHA-256 in hexadecimal, or a word of the protocol. */
  readonly payload: string
}

/** These sign the path as it is sent; every other service signs it encoded once more. */
const PATH_AS_SENT: ReadonlySet<string> = new Set(['s3', 's3-object-lambda', 's3-outposts', 's3express'])

/**
 * The 32 bytes of a signature (AWS, IAM User Guide, "Create a signed AWS API request"). `signedHeaders`:
 * lower-case names in order, each of them there. `time`: `YYYYMMDDTHHMMSSZ`.
 */
export function signatureOf(
  request: Signable,
  signedHeaders: readonly string[],
  scope: Scope,
  time: string,
  secret: string,
): Buffer {
  const { date, region, service } = scope
  const canonical = sha256(canonicalRequest(request, signedHeaders, service))
  const text = [ALGORITHM, time, `${date}/${region}/${service}/aws4_request`, canonical].join('\n')
  let key = Buffer.from(`AWS4${secret}`, 'utf8')
  for (const part of [date, region, service, 'aws4_request', text]) key = hmac(key, part)
  return key
}

/** One byte a character. */
export function canonicalRequest(request: Signable, signedHeaders: readonly string[], service: string): string {
  const { method, target, headers, payload } = request
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  const query = mark < 0 ? '' : target.slice(mark + 1)
  const lines = signedHeaders.map((name) => `${name}:${headerText(headers, name)}\n`)
  return [
    method,
    PATH_AS_SENT.has(service) ? encodedOnce(path, true) : encodedTwice(path),
    canonicalQuery(query),
    lines.join(''),
    signedHeaders.join(';'),
    payload,
  ].join('\n')
}

export function sha256(content: string | Uint8Array): string {
  const hash = createHash('sha256')
  return (typeof content === 'string' ? hash.update(content, 'latin1') : hash.update(content)).digest('hex')
}

function hmac(key: Uint8Array, text: string): Buffer<ArrayBuffer> {
  return createHmac('sha256', key).update(text, 'latin1').digest()
}

/** Spaces and tabs alone: other white space of Unicode may be half of a character here. */
function headerText(headers: readonly HeaderPair[], name: string): string {
  return headers
    .filter(([key]) => key === name)
    .map(([, value]) => value.replaceAll(/[ \t]+/g, ' ').replaceAll(/^ | $/g, ''))
    .join(',')
}

function canonicalQuery(query: string): string {
  const parameters = query.split('&').filter((parameter) => parameter !== '')
  return parameters
    .map((parameter) => {
      const sign = parameter.indexOf('=')
      const [name, value] = sign < 0 ? [parameter, ''] : [parameter.slice(0, sign), parameter.slice(sign + 1)]
      return { name: encodedOnce(name, false), value: encodedOnce(value, false) }
    })
    .toSorted((left, right) => order(left.name, right.name) || order(left.value, right.value))
    .map(({ name, value }) => `${name}=${value}`)
    .join('&')
}

function order(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}

const ESCAPE = /%[0-9a-fA-F]{2}/
const PIECES = /%[0-9a-fA-F]{2}|[^]/g

/** The one encoding of a text that may be encoded in part: everything but the unreserved characters of RFC 3986 as `%XY`. */
function encodedOnce(text: string, keepsSlash: boolean): string {
  return text.replaceAll(PIECES, (piece) => {
    const code = ESCAPE.test(piece) ? Number.parseInt(piece.slice(1), 16) : piece.charCodeAt(0)
    return piece === '/' && keepsSlash ? piece : encodedByte(code)
  })
}

function encodedTwice(path: string): string {
  return path.replaceAll(/[^]/g, (character) => (character === '/' ? character : encodedByte(character.charCodeAt(0))))
}

function encodedByte(code: number): string {
  const character = String.fromCharCode(code)
  return /^[A-Za-z0-9._~-]$/.test(character) ? character : `%${code.toString(16).toUpperCase().padStart(2, '0')}`
}
