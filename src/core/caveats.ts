import { checkName } from './name.ts'
import { KeywardError } from './errors.ts'
import { ANY_FIELD } from './call-pattern.ts'
import { parseOperationPattern } from './operation-pattern.ts'

/**
 * One thing that a narrowed session may no longer do. Each takes away by itself, and all of a chain count: none can
 * give back what another took. The bytes are in docs/formats/token.md.
 */
export type Caveat =
  /** Begins a narrowing and takes nothing away: two narrowings of one session are never the same. */
  | { readonly kind: 'narrowing'; readonly nonce: Uint8Array }
  /** Only operations that one of these fits, read as exactly as a grant's. */
  | { readonly kind: 'allow'; readonly patterns: readonly string[] }
  /** No operation that one of these fits, read as widely as a grant's. */
  | { readonly kind: 'deny'; readonly patterns: readonly string[] }
  /** Only credentials of these names. */
  | { readonly kind: 'credentials'; readonly names: readonly string[] }
  /** Milliseconds since the Unix epoch. */
  | { readonly kind: 'expires'; readonly at: number }
  /** So many requests, of this narrowing and of all that come from it together. */
  | { readonly kind: 'uses'; readonly count: number }
  /** Only from this IP address. */
  | { readonly kind: 'address'; readonly address: string }

/** Caveats of one chain. */
export const CAVEATS_MAXIMUM = 32
/** Narrowings of narrowings. */
export const NARROWINGS_MAXIMUM = 8
/** Patterns, or names, of one caveat. */
export const CAVEAT_TEXTS_MAXIMUM = 64
/** Requests that a caveat may count. */
export const CAVEAT_USES_MAXIMUM = 1_000_000
export const NONCE_BYTES = 12

const types: Readonly<Record<Caveat['kind'], number>> = {
  narrowing: 1,
  allow: 2,
  deny: 3,
  credentials: 4,
  expires: 5,
  uses: 6,
  address: 7,
}
/** Kept for caveats about money, which are refused until there is a ledger to count it. */
const BUDGET_TYPE = 8
const HEADER_BYTES = 3
const ADDRESS = /^[0-9a-f.:]{2,45}$/

/** Throws KeywardError `usage` naming what cannot be a caveat. */
export function checkCaveat(caveat: Caveat): void {
  if (caveat.kind === 'allow' || caveat.kind === 'deny') {
    checkCount(caveat.patterns, 'patterns')
    for (const pattern of caveat.patterns) {
      parseOperationPattern(pattern)
      if (caveat.kind === 'allow' && pattern.startsWith(ANY_FIELD))
        throw new KeywardError('usage', `${pattern} can only be denied.`)
    }
  } else if (caveat.kind === 'credentials') {
    checkCount(caveat.names, 'credentials')
    for (const name of caveat.names) checkName('a credential', name)
  } else if (caveat.kind === 'expires') {
    if (!Number.isSafeInteger(caveat.at) || caveat.at < 1) throw new KeywardError('usage', 'An expiry is a moment.')
  } else if (caveat.kind === 'uses') {
    const { count } = caveat
    if (!Number.isSafeInteger(count) || count < 1 || count > CAVEAT_USES_MAXIMUM)
      throw new KeywardError('usage', `A narrowed session has 1 to ${CAVEAT_USES_MAXIMUM} uses.`)
  } else if (caveat.kind === 'address') {
    if (!ADDRESS.test(caveat.address)) throw new KeywardError('usage', 'An address is one IPv4 or IPv6 address.')
  } else if (caveat.nonce.length !== NONCE_BYTES) throw new KeywardError('usage', 'The nonce has another length.')
}

function checkCount(texts: readonly string[], noun: string): void {
  if (texts.length === 0 || texts.length > CAVEAT_TEXTS_MAXIMUM)
    throw new KeywardError('usage', `A caveat names 1 to ${CAVEAT_TEXTS_MAXIMUM} ${noun}.`)
}

/** Type (1 byte), length of the value (2 bytes), value. The caveat has passed `checkCaveat`. */
export function encodeCaveat(caveat: Caveat): Uint8Array {
  const value = valueOf(caveat)
  const bytes = Buffer.alloc(HEADER_BYTES + value.length)
  bytes.writeUInt8(types[caveat.kind], 0)
  bytes.writeUInt16BE(value.length, 1)
  bytes.set(value, HEADER_BYTES)
  return bytes
}

function valueOf(caveat: Caveat): Uint8Array {
  switch (caveat.kind) {
    case 'narrowing':
      return caveat.nonce
    case 'allow':
    case 'deny':
      return joined(caveat.patterns)
    case 'credentials':
      return joined(caveat.names)
    case 'expires': {
      const bytes = Buffer.alloc(8)
      bytes.writeBigUInt64BE(BigInt(caveat.at))
      return bytes
    }
    case 'uses': {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(caveat.count)
      return bytes
    }
    case 'address':
      return Buffer.from(caveat.address, 'latin1')
  }
}

/** Each text in UTF-8 behind its length in 2 bytes. */
function joined(texts: readonly string[]): Uint8Array {
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text, 'utf8')
      const length = Buffer.alloc(2)
      length.writeUInt16BE(bytes.length)
      return [length, bytes]
    }),
  )
}

/** A caveat with the bytes that stand for it in the chain. */
export interface WrittenCaveat {
  readonly caveat: Caveat
  readonly bytes: Uint8Array
}

/**
 * The caveats that stand one after the other in `bytes`. Throws KeywardError `caveat_unknown` where one is of a
 * kind that is not known here, and `token_invalid` where they are not as they are written.
 */
export function decodeCaveats(bytes: Uint8Array): readonly WrittenCaveat[] {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found: WrittenCaveat[] = []
  let depth = 0
  for (let at = 0; at < all.length;) {
    if (all.length - at < HEADER_BYTES) throw malformed()
    const end = at + HEADER_BYTES + all.readUInt16BE(at + 1)
    if (end > all.length || found.length >= CAVEATS_MAXIMUM) throw malformed()
    const caveat = decodeOne(all.readUInt8(at), all.subarray(at + HEADER_BYTES, end))
    try {
      checkCaveat(caveat)
    } catch {
      throw malformed()
    }
    if (caveat.kind === 'narrowing') depth += 1
    found.push({ caveat, bytes: all.subarray(at, end) })
    at = end
  }
  if (found[0]?.caveat.kind !== 'narrowing' || depth > NARROWINGS_MAXIMUM) throw malformed()
  return found
}

function decodeOne(type: number, value: Buffer): Caveat {
  switch (type) {
    case types.narrowing:
      return { kind: 'narrowing', nonce: value }
    case types.allow:
      return { kind: 'allow', patterns: split(value) }
    case types.deny:
      return { kind: 'deny', patterns: split(value) }
    case types.credentials:
      return { kind: 'credentials', names: split(value) }
    case types.expires:
      if (value.length !== 8) throw malformed()
      return { kind: 'expires', at: Number(value.readBigUInt64BE()) }
    case types.uses:
      if (value.length !== 4) throw malformed()
      return { kind: 'uses', count: value.readUInt32BE() }
    case types.address:
      return { kind: 'address', address: value.toString('latin1') }
    case BUDGET_TYPE:
      throw new KeywardError('caveat_unknown', 'It has a caveat about a budget, which is not supported yet.')
    default:
      throw new KeywardError('caveat_unknown', `It has a caveat of type ${type}.`)
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function split(value: Buffer): string[] {
  const texts: string[] = []
  for (let at = 0; at < value.length;) {
    const end = value.length - at < 2 ? Infinity : at + 2 + value.readUInt16BE(at)
    if (end > value.length || texts.length >= CAVEAT_TEXTS_MAXIMUM) throw malformed()
    try {
      texts.push(utf8.decode(value.subarray(at + 2, end)))
    } catch {
      throw malformed()
    }
    at = end
  }
  return texts
}

function malformed(): KeywardError {
  return new KeywardError('token_invalid', 'Its caveats are malformed.')
}
