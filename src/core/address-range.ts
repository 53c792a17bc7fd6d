import { parseAuthority } from './canonical-target.ts'

/** Addresses that begin alike, as `10.0.0.0/8` or `2001:db8::/32` writes them (RFC 4632, RFC 4291). */
export interface AddressRange {
  readonly bits: 32 | 128
  readonly prefix: number
  readonly base: bigint
}

/** Null where it is no range. A single address is one of its own. */
export function parseAddressRange(text: string): AddressRange | null {
  const [address = '', length, ...others] = text.split('/')
  const number = numberOf(address)
  if (number === null || others.length > 0 || (length !== undefined && !/^(?:0|[1-9]\d{0,2})$/.test(length)))
    return null
  const prefix = length === undefined ? number.bits : Number(length)
  if (prefix > number.bits) return null
  const shift = BigInt(number.bits - prefix)
  return { bits: number.bits, prefix, base: number.value >> shift }
}

/** Whether the address lies in the range; null where it is none. */
export function isInRange(address: string, { bits, prefix, base }: AddressRange): boolean | null {
  const number = numberOf(address)
  if (number === null) return null
  return number.bits === bits && number.value >> BigInt(bits - prefix) === base
}

/** IPv4 in IPv6 (RFC 4291 section 2.5.5.2) is the IPv4 address that it is. */
function numberOf(text: string): { readonly bits: 32 | 128; readonly value: bigint } | null {
  if (text.length > 64) return null
  const parsed = parseAuthority(text.includes(':') ? `[${text}]` : text)
  if ('refusal' in parsed || parsed.port !== null || parsed.kind === 'name') return null
  if (parsed.kind === 'ipv4')
    return { bits: 32, value: parsed.host.split('.').reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n) }
  const [head = '', tail] = parsed.host.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const front = groups(head)
  const back = groups(tail ?? '')
  const all = [...front, ...Array<string>(8 - front.length - back.length).fill('0'), ...back]
  const value = all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n)
  return value >> 32n === 0xffffn ? { bits: 32, value: value & 0xffffffffn } : { bits: 128, value }
}
