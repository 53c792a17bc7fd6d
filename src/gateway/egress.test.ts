import { expect, test } from 'vitest'
import { ADDRESSES_MAXIMUM, checkedAddress, isPublicAddress } from './egress.ts'

const refused = [
  '0.0.0.0',
  '10.1.2.3',
  '100.64.0.1',
  '100.100.100.200',
  '127.0.0.1',
  '127.9.9.9',
  '168.63.129.16',
  '169.254.169.254',
  '169.254.170.2',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:169.254.169.254',
  '::ffff:8.8.8.8',
  '::a9fe:a9fe',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '2002:a9fe:a9fe::',
  '3fff::1',
  'fc00::1',
  'fd00:ec2::254',
  'fd20:ce::254',
  'fe80::1',
  'fe80::1%eth0',
  'fec0::1',
  'ff02::1',
  '5f00::1',
]
const allowed = [
  '1.1.1.1',
  '8.8.8.8',
  '100.63.255.255',
  '100.128.0.1',
  '172.15.0.1',
  '172.32.0.1',
  '192.169.0.1',
  '2606:4700::1111',
  '2a00:1450::1',
]

test.each(refused)('%s is not dialled', (address) => expect(isPublicAddress(address)).toBe(false))
test.each(allowed)('%s may be dialled', (address) => expect(isPublicAddress(address)).toBe(true))
test.each(['0xA9FEA9FE', '2852039166', '0251.0376.0251.0376', 'example.test', ''])('%s is no address', (text) =>
  expect(isPublicAddress(text)).toBe(false),
)

test('one private answer among public ones refuses the name whole', async () => {
  const resolve = async () => [
    { address: '1.1.1.1', family: 4 },
    { address: '10.0.0.1', family: 4 },
  ]
  expect(await checkedAddress('rebind.test', resolve)).toMatchObject({ refusal: 'host_refused' })
})

test('the address that was checked is the one given back, and the name is resolved once', async () => {
  let asked = 0
  const resolve = async () => [{ address: asked++ === 0 ? '1.1.1.1' : '169.254.169.254', family: 4 }]
  expect(await checkedAddress('rebind.test', resolve)).toEqual({ address: '1.1.1.1' })
  expect(asked).toBe(1)
})

test('a name without an address or with too many is refused', async () => {
  expect(await checkedAddress('none.test', async () => [])).toMatchObject({ refusal: 'host_refused' })
  const many = Array.from({ length: ADDRESSES_MAXIMUM + 1 }, () => ({ address: '1.1.1.1', family: 4 }))
  expect(await checkedAddress('many.test', async () => many)).toMatchObject({ refusal: 'host_refused' })
})
