import { lookup as dnsLookup } from 'node:dns'
import { BlockList, isIP } from 'node:net'

/**
 * Which addresses may be dialled: globally reachable unicast only. The list is the complement: every
 * range of the IANA special-purpose registries (RFC 6890 and its updates) that is not globally
 * reachable, every range that embeds or translates to an IPv4 address (so that a private one cannot
 * hide in it), multicast, and the metadata addresses of clouds that lie in public space.
 */
const refusedRanges: readonly (readonly [network: string, prefix: number, family: 'ipv4' | 'ipv6'])[] = [
  ['0.0.0.0', 8, 'ipv4'],
  ['10.0.0.0', 8, 'ipv4'],
  ['100.64.0.0', 10, 'ipv4'],
  ['127.0.0.0', 8, 'ipv4'],
  ['168.63.129.16', 32, 'ipv4'],
  ['169.254.0.0', 16, 'ipv4'],
  ['172.16.0.0', 12, 'ipv4'],
  ['192.0.0.0', 24, 'ipv4'],
  ['192.0.2.0', 24, 'ipv4'],
  ['192.31.196.0', 24, 'ipv4'],
  ['192.52.193.0', 24, 'ipv4'],
  ['192.88.99.0', 24, 'ipv4'],
  ['192.168.0.0', 16, 'ipv4'],
  ['192.175.48.0', 24, 'ipv4'],
  ['198.18.0.0', 15, 'ipv4'],
  ['198.51.100.0', 24, 'ipv4'],
  ['203.0.113.0', 24, 'ipv4'],
  ['224.0.0.0', 4, 'ipv4'],
  ['240.0.0.0', 4, 'ipv4'],
]

const refusedIpv4 = new BlockList()
for (const [network, prefix, family] of refusedRanges) refusedIpv4.addSubnet(network, prefix, family)

/** Global unicast (RFC 4291) is 2000::/3; within it, what is not an ordinary public host. */
const globalIpv6 = new BlockList()
globalIpv6.addSubnet('2000::', 3, 'ipv6')
const refusedIpv6 = new BlockList()
refusedIpv6.addSubnet('2001::', 23, 'ipv6')
refusedIpv6.addSubnet('2001:db8::', 32, 'ipv6')
refusedIpv6.addSubnet('2002::', 16, 'ipv6')
refusedIpv6.addSubnet('2620:4f:8000::', 48, 'ipv6')
refusedIpv6.addSubnet('3fff::', 20, 'ipv6')

/** Whether Keyward may dial this IP literal without an operator having written it down. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return !refusedIpv4.check(address, 'ipv4')
  if (family === 6)
    return !address.includes('%') && globalIpv6.check(address, 'ipv6') && !refusedIpv6.check(address, 'ipv6')
  return false
}

export function isLoopback(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
}

export interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

export type Resolve = (host: string) => Promise<readonly ResolvedAddress[]>

/** The system's resolver, in the order that it prefers. */
export const resolveHost: Resolve = (host) =>
  new Promise((done, fail) => {
    dnsLookup(host, { all: true, order: 'verbatim' }, (error, addresses) =>
      error === null ? done(addresses) : fail(error),
    )
  })

/** How many addresses of one name are looked at; a name with more is refused. */
export const ADDRESSES_MAXIMUM = 32

export type Checked = { readonly address: string } | { readonly refusal: 'host_refused'; readonly detail: string }

/**
 * Resolves once and checks every address: a name with a single unreachable-by-rule address is refused
 * whole, so that a second answer can never move the connection. The address given back is the one to dial.
 */
export async function checkedAddress(host: string, resolve: Resolve): Promise<Checked> {
  const literal = isIP(host)
  const addresses = literal === 0 ? await resolve(host) : [{ address: host, family: literal }]
  const first = addresses[0]
  if (first === undefined || addresses.length > ADDRESSES_MAXIMUM) {
    return { refusal: 'host_refused', detail: `${host} resolves to ${addresses.length} addresses.` }
  }
  const refused = addresses.find((candidate) => !isPublicAddress(candidate.address))
  if (refused !== undefined) return { refusal: 'host_refused', detail: `${host} resolves to ${refused.address}.` }
  return { address: first.address }
}
