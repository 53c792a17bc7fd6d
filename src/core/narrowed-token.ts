import { createHmac, timingSafeEqual } from 'node:crypto'
import {
  CAVEATS_MAXIMUM,
  checkCaveat,
  decodeCaveats,
  encodeCaveat,
  NARROWINGS_MAXIMUM,
  type Caveat,
  type WrittenCaveat,
} from './caveats.ts'
import { KeywardError } from './errors.ts'
import { checksum, checksumLength, looksLikeSessionToken } from './placeholder.ts'

/**
 * A session token narrowed by whoever holds it, without the server: caveats, each chained onto the last by HMAC,
 * as macaroons do it (Birgisson et al., NDSS 2014). The token has the last signature alone, so caveats can be
 * added and never taken out, changed or put in another order. The bytes are in docs/formats/token.md.
 */
export const narrowedPrefix = 'kwn_'
/** Longest narrowed token, in characters. */
export const NARROWED_TOKEN_MAXIMUM_CHARACTERS = 2_048

const VERSION = 1
const LOCATOR_BYTES = 8
const SIGNATURE_BYTES = 32
const ID_BYTES = 12
const CHAIN_LABEL = 'keyward/narrow/1'
const LOCATOR_LABEL = 'keyward/locator/1'
const CAVEAT_STEP = Uint8Array.of(1)
const ID_STEP = Uint8Array.of(2, 0x69, 0x64)

export interface NarrowedToken {
  /** Of the session that it comes from: 16 hexadecimal digits. */
  readonly locator: string
  readonly caveats: readonly WrittenCaveat[]
  readonly signature: Uint8Array
}

/** Whether the text has the form of a narrowed token and a checksum that fits. */
export function looksLikeNarrowedToken(text: string): boolean {
  if (text.length > NARROWED_TOKEN_MAXIMUM_CHARACTERS || !text.startsWith(narrowedPrefix)) return false
  const end = text.length - checksumLength
  return /^kwn_[A-Za-z0-9_-]+$/.test(text) && text.slice(end) === checksum(text.slice(0, end))
}

/**
 * What a narrowed token says, its signature not looked at yet. Throws KeywardError `token_invalid`, and
 * `caveat_unknown` where it has a caveat that is not known here.
 */
export function readNarrowedToken(text: string): NarrowedToken {
  if (!looksLikeNarrowedToken(text)) throw new KeywardError('token_invalid')
  const written = text.slice(narrowedPrefix.length, -checksumLength)
  const body = Buffer.from(written, 'base64url')
  const end = body.length - SIGNATURE_BYTES
  const start = 1 + LOCATOR_BYTES
  // One spelling alone: a token that is written otherwise would not be found among those that were ended.
  if (body.toString('base64url') !== written || end <= start) throw new KeywardError('token_invalid')
  if (body[0] !== VERSION)
    throw new KeywardError('token_invalid', 'It was narrowed by another release, in a form that is not known here.')
  return {
    locator: body.subarray(1, start).toString('hex'),
    caveats: decodeCaveats(body.subarray(start, end)),
    signature: body.subarray(end),
  }
}

/**
 * `text` with these caveats more: a session's token or a narrowed one. `nonce` is random. Throws KeywardError
 * `token_invalid` where `text` is neither, and `usage` where a caveat cannot be one or there are too many.
 */
export function narrow(
  text: string,
  caveats: readonly Exclude<Caveat, { kind: 'narrowing' }>[],
  nonce: Uint8Array,
): { readonly token: string; readonly id: string } {
  if (caveats.length === 0) throw new KeywardError('usage', 'Say what the narrowed session may no longer do.')
  const from = looksLikeSessionToken(text) ? rootOf(text) : readNarrowedToken(text)
  const chain: Caveat[] = [{ kind: 'narrowing', nonce }, ...caveats]
  const depth = from.caveats.filter(({ caveat }) => caveat.kind === 'narrowing').length
  if (depth >= NARROWINGS_MAXIMUM)
    throw new KeywardError('usage', `A session is narrowed at most ${NARROWINGS_MAXIMUM} times in a row.`)
  if (from.caveats.length + chain.length > CAVEATS_MAXIMUM)
    throw new KeywardError('usage', `A narrowed session has at most ${CAVEATS_MAXIMUM} caveats.`)
  chain.forEach(checkCaveat)
  const added = chain.map(encodeCaveat)
  const signature = added.reduce(step, from.signature)
  const body = Buffer.concat([
    Uint8Array.of(VERSION),
    Buffer.from(from.locator, 'hex'),
    ...from.caveats.map(({ bytes }) => bytes),
    ...added,
    signature,
  ])
  const start = narrowedPrefix + body.toString('base64url')
  const token = start + checksum(start)
  if (token.length > NARROWED_TOKEN_MAXIMUM_CHARACTERS)
    throw new KeywardError('usage', `A narrowed token has at most ${NARROWED_TOKEN_MAXIMUM_CHARACTERS} characters.`)
  return { token, id: idOf(from.locator, signature) }
}

/**
 * The ids of every beginning of the chain, the whole last, or null where the token does not come from the session
 * token `root`.
 */
export function verifyNarrowed(token: NarrowedToken, root: string): readonly string[] | null {
  const { locator, signature } = rootOf(root)
  if (locator !== token.locator) return null
  const signatures: Uint8Array[] = []
  let last = signature
  for (const { bytes } of token.caveats) signatures.push((last = step(last, bytes)))
  if (!timingSafeEqual(last, token.signature)) return null
  return signatures.map((one) => idOf(locator, one))
}

/** By what a narrowed token names the session that it comes from. It says nothing about the token's text. */
export function locatorOf(sessionToken: string): string {
  return hmac(sessionToken, LOCATOR_LABEL).subarray(0, LOCATOR_BYTES).toString('hex')
}

/** The beginning of every chain of a session. */
function rootOf(sessionToken: string): NarrowedToken {
  return { locator: locatorOf(sessionToken), caveats: [], signature: hmac(sessionToken, CHAIN_LABEL) }
}

function step(signature: Uint8Array, caveat: Uint8Array): Uint8Array {
  return createHmac('sha256', signature).update(CAVEAT_STEP).update(caveat).digest()
}

const ID_DIGITS = '0123456789abcdefghjkmnpqrstvwxyz'

/** 20 bytes, as 32 digits of Crockford's base 32: whose session it is, and which beginning of a chain. */
function idOf(locator: string, signature: Uint8Array): string {
  const own = createHmac('sha256', signature).update(ID_STEP).digest().subarray(0, ID_BYTES)
  let bits = BigInt(`0x${locator}${own.toString('hex')}`)
  let id = ''
  for (let digit = 0; digit < 32; digit += 1, bits >>= 5n) id = ID_DIGITS.charAt(Number(bits & 31n)) + id
  return id
}

const ID = /^[0-9a-hjkmnp-tv-z]{32}$/

/** The locator in the id of a narrowing, or null where it is none. */
export function locatorInId(id: string): string | null {
  if (!ID.test(id)) return null
  let bits = 0n
  for (const digit of id) bits = (bits << 5n) | BigInt(ID_DIGITS.indexOf(digit))
  return bits
    .toString(16)
    .padStart(40, '0')
    .slice(0, 2 * LOCATOR_BYTES)
}

function hmac(key: string, label: string): Buffer {
  return createHmac('sha256', key).update(label, 'utf8').digest()
}
