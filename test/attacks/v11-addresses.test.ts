import { afterAll, beforeAll, expect } from 'vitest'
import { isPublicAddress } from '../../src/gateway/egress.ts'
import { codeOf, type Held, type Login } from '../e2e/gateway/requests.ts'
import { attack, fronts, inside, type Front } from './attack.ts'
import { bearer, openScene, type Scene } from './scene.ts'

/** V11: every range that is no ordinary place of the public network, at the moment of dialling. */

/** The IANA registries of special-purpose addresses (RFC 6890, RFC 8190), what embeds IPv4 addresses, and metadata services in public space. */
const ranges: readonly (readonly [name: string, first: string, last: string])[] = [
  ['this network', '0.0.0.0', '0.255.255.255'],
  ['private use', '10.0.0.0', '10.255.255.255'],
  ['shared address space', '100.64.0.0', '100.127.255.255'],
  ['loopback', '127.0.0.0', '127.255.255.255'],
  ['link local', '169.254.0.0', '169.254.255.255'],
  ['private use', '172.16.0.0', '172.31.255.255'],
  ['IETF protocol assignments', '192.0.0.0', '192.0.0.255'],
  ['documentation', '192.0.2.0', '192.0.2.255'],
  ['AS112', '192.31.196.0', '192.31.196.255'],
  ['AMT', '192.52.193.0', '192.52.193.255'],
  ['6to4 relay anycast', '192.88.99.0', '192.88.99.255'],
  ['private use', '192.168.0.0', '192.168.255.255'],
  ['direct delegation AS112', '192.175.48.0', '192.175.48.255'],
  ['benchmarking', '198.18.0.0', '198.19.255.255'],
  ['documentation', '198.51.100.0', '198.51.100.255'],
  ['documentation', '203.0.113.0', '203.0.113.255'],
  ['multicast', '224.0.0.0', '239.255.255.255'],
  ['reserved, broadcast', '240.0.0.0', '255.255.255.255'],
  ['metadata (Azure)', '168.63.129.16', '168.63.129.16'],
  ['metadata (Alibaba)', '100.100.100.200', '100.100.100.200'],
  ['metadata (ECS)', '169.254.170.2', '169.254.170.2'],
  ['unspecified', '::', '::'],
  ['loopback', '::1', '::1'],
  ['IPv4-compatible', '::2', '::ffff:ffff'],
  ['IPv4-mapped', '::ffff:0.0.0.0', '::ffff:255.255.255.255'],
  ['IPv4-translated', '::ffff:0:0:0', '::ffff:0:ffff:ffff'],
  ['NAT64', '64:ff9b::', '64:ff9b::ffff:ffff'],
  ['NAT64, local use', '64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff'],
  ['discard only', '100::', '100::ffff:ffff:ffff:ffff'],
  ['dummy prefix', '100:0:0:1::', '100:0:0:1:ffff:ffff:ffff:ffff'],
  ['IETF protocol assignments', '2001::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['Teredo', '2001::1', '2001:0:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['benchmarking', '2001:2::', '2001:2:0:ffff:ffff:ffff:ffff:ffff'],
  ['ORCHID', '2001:10::', '2001:1f:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['ORCHIDv2', '2001:20::', '2001:2f:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['documentation', '2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['6to4', '2002::', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['6to4 of a metadata service', '2002:a9fe:a9fe::', '2002:a9fe:a9fe::1'],
  ['direct delegation AS112', '2620:4f:8000::', '2620:4f:8000:ffff:ffff:ffff:ffff:ffff'],
  ['documentation', '3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['segment routing', '5f00::', '5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['unique local', 'fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['metadata (AWS)', 'fd00:ec2::254', 'fd00:ec2::254'],
  ['metadata (Google)', 'fd20:ce::254', 'fd20:ce::254'],
  ['link local', 'fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['site local', 'fec0::', 'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['multicast', 'ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
]

/** Right beside the ranges: ordinary places, which a guard that refuses everything would refuse too. */
const ordinary = [
  '1.0.0.0',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.0',
  '168.63.129.15',
  '168.63.129.17',
  '169.253.255.255',
  '169.255.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.0',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '2000::1',
  '2001:200::1',
  '2003::1',
  '2606:4700::1111',
  '3ffe::1',
]

let scene: Scene
let open: Login
let far: Held
beforeAll(async () => {
  scene = await openScene()
  // Without an endpoint: its host is resolved, and what comes of it is dialled.
  far = await scene.stage.hold({ id: 'far' })
  open = await scene.stage.login('triage', { egress: 'open' })
})
afterAll(() => scene.close())

/** A service of the vault, or, at the door that knows no TLS to it, a host that nobody guards. */
async function dialled(front: Front, addresses: string[]): Promise<string> {
  const unlisted = { id: 'unlisted', host: 'somewhere.example.net' }
  const held = front.door === 'absolute' ? unlisted : far
  scene.stage.names.set(held.host, addresses)
  const headers = front.door === 'absolute' ? [] : [bearer(open.placeholder(far))]
  return codeOf(await scene.stage.request({ ...front, held, login: open, headers }))
}

attack(
  'V11',
  'the first and the last address of every special range, alone and beside a public one',
  fronts,
  async (front) => {
    for (const [name, first, last] of ranges) {
      for (const address of new Set([first, last])) {
        expect(await dialled(front, [address]), `${name}: ${address}`).toBe('host_refused')
        expect(await dialled(front, ['93.184.215.14', address]), `${name}: ${address}, second`).toBe('host_refused')
      }
    }
  },
)

attack(
  'V11',
  'an address in the place of a name',
  fronts.filter(({ door }) => door === 'absolute'),
  async (front) => {
    for (const [name, first] of ranges) {
      const host = first.includes(':') ? `[${first}]` : first
      const answer = await scene.stage.request({ ...front, held: { id: 'literal', host }, login: open })
      // Its own address is told apart as a loop; a spelling that has more than one reading is refused before.
      expect(['host_refused', 'loop_refused', 'request_malformed'], `${name}: ${first}`).toContain(codeOf(answer))
    }
  },
)

attack('V11', 'ordinary addresses beside the ranges are not refused', inside, () => {
  for (const address of ordinary) expect(isPublicAddress(address), address).toBe(true)
  for (const [name, first, last] of ranges)
    for (const address of [first, last]) expect(isPublicAddress(address), `${name}: ${address}`).toBe(false)
  for (const text of [
    '',
    'localhost',
    '1',
    '127.1',
    '0x7f000001',
    '017700000001',
    '2130706433',
    'fe80::1%lo',
    '1.2.3.4 ',
    '[::1]',
  ])
    expect(isPublicAddress(text), text).toBe(false)
})
