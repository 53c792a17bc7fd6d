import { expect, test } from 'vitest'
import { seededRandom } from './fixture.ts'
import { macHolds, rowMac, tampered } from './row-mac.ts'
import { deriveKey } from './sealing.ts'

const random = seededRandom('row mac')
const key = deriveKey(random(32), 'rows')
const row = { table: 'grant', id: 'a', seq: 7, body: '{"x":1}' }
const mac = rowMac(key, 'store', row)

test('a MAC holds for this row in this store under this key, and for nothing else', () => {
  expect(macHolds(key, 'store', { ...row, mac })).toBe(true)
  expect(macHolds(deriveKey(random(32), 'rows'), 'store', { ...row, mac })).toBe(false)
  expect(macHolds(key, 'another', { ...row, mac })).toBe(false)
  const others = [
    { table: 'agent' },
    { id: 'b' },
    { seq: 8 },
    { body: '{"x":2}' },
    { table: 'granta', id: '' },
    { seq: -1 },
    { seq: 7.5 },
  ]
  for (const change of others) expect(macHolds(key, 'store', { ...row, ...change, mac })).toBe(false)
  expect(macHolds(key, 'store', { ...row, mac: mac.subarray(0, 16) })).toBe(false)
})

test('a refusal names table and row in printable ASCII of bounded length', () => {
  expect(tampered('grant', 'a', 'it was added').detail).toBe('Table grant, row a: it was added.')
  expect(tampered('\u001b[0m', 'ü\n'.repeat(1000), 'x').detail).toMatch(/^[\x20-\x7e]{1,300}$/)
})
