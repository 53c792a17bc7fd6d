import { Marks } from '../core/marks.ts'
import { headerValues, type HeaderPair } from '../core/request.ts'

/** How deep within a JSON answer a key of AWS is looked for: `AssumeRoleResponse.AssumeRoleResult.Credentials`, and one more. */
const DEPTH_MAXIMUM = 5

/** One of these stands in every answer that is meant; most answers hold none, and are not read further. */
const MARKS = new Marks(['_token', 'client_secret', 'private', 'SecretAccessKey', '\\u00'])

const JUDGED =
  /^\s*(?:application\/(?:[\w.-]+\+)?(?:json|xml)|application\/x-amz-json-1\.[01]|text\/(?:json|xml)|application\/x-www-form-urlencoded)\s*(?:;|$)/i

/** Whether credentials are usually handed out in an answer of this type. */
export function isTypeOfHandedOut(headers: readonly HeaderPair[]): boolean {
  return headerValues(headers, 'content-type').some((value) => JUDGED.test(value))
}

/** Finds the place at which an answer that comes bit by bit can be judged: the end of its first object. */
export class FirstObject {
  #depth = 0
  #isInString = false
  #isEscaped = false
  #kind: 'blank' | 'object' | 'other' = 'blank'

  /** No more than white space has come. */
  get isBlank(): boolean {
    return this.#kind === 'blank'
  }

  /** Whether nothing more is needed: the object is whole, or a list or text has begun, which hands out nothing. */
  push(piece: Uint8Array): boolean {
    for (const byte of piece) {
      if (this.#kind === 'blank') {
        if (byte <= 0x20) continue
        if (byte === 0x5b || byte === 0x22) return true
        this.#kind = byte === 0x7b ? 'object' : 'other'
      }
      if (this.#kind === 'other') return false
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false
        else if (byte === 0x5c) this.#isEscaped = true
        else if (byte === 0x22) this.#isInString = false
      } else if (byte === 0x22) this.#isInString = true
      else if (byte === 0x7b || byte === 0x5b) this.#depth++
      else if ((byte === 0x7d || byte === 0x5d) && --this.#depth === 0) return true
    }
    return false
  }
}

/**
 * Whether an answer hands out a credential, which nobody could know and so find: one of the shapes that are
 * published for it, and no name alone. A token of OAuth (RFC 6749 section 5.1), also as a form; a client's secret (RFC 7591
 * section 3.2.1); a key file of a Google service account, or the call that makes one; keys of AWS (STS
 * `Credentials`, IAM `AccessKey`), as JSON or XML.
 */
export function handsOutCredential(body: Uint8Array): boolean {
  if (MARKS.next(body, 0) < 0) return false
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const first = body.find((byte) => byte > 0x20)
  if (first === 0x7b) return objectHandsOut(objectOf(bytes))
  const text = bytes.toString('latin1')
  if (first === 0x3c) return /<(?:\w+:)?SecretAccessKey>\s*[^<\s]/.test(text)
  if (!/(?:^|&)(?:access|refresh)_token=/.test(text)) return false
  return isToken(Object.fromEntries(new URLSearchParams(text.trim())))
}

function objectOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return firstOf(body)
  }
}

/** Of several objects one behind the other, the first. */
function firstOf(body: Buffer): unknown {
  const object = new FirstObject()
  const end = body.findIndex((_, at) => object.push(body.subarray(at, at + 1)))
  try {
    return JSON.parse(body.toString('utf8', 0, end + 1))
  } catch {
    return null
  }
}

function objectHandsOut(value: unknown): boolean {
  if (!isObject(value)) return false
  return (
    isToken(value) ||
    (isText(value['client_secret']) && isText(value['client_id'])) ||
    (isText(value['private_key']) && isText(value['client_email'])) ||
    (isText(value['privateKeyData']) && isText(value['name'])) ||
    holdsAwsKey(value, DEPTH_MAXIMUM)
  )
}

function isToken(value: Readonly<Record<string, unknown>>): boolean {
  return isText(value['refresh_token']) || (isText(value['access_token']) && isText(value['token_type']))
}

function holdsAwsKey(value: Readonly<Record<string, unknown>>, depth: number): boolean {
  if (isText(value['SecretAccessKey']) && isText(value['AccessKeyId'])) return true
  return depth > 1 && Object.values(value).some((inner) => isObject(inner) && holdsAwsKey(inner, depth - 1))
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}
