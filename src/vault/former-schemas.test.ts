import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { takeFormerRelease, withoutFormerRelease } from '../../test/former-release.ts'
import { oldestStoreSchema, storeSchema } from '../stores/store.ts'
import { formerSchemas, isReadableAt } from './former-schemas.ts'
import { tableNames } from './record-schemas.ts'

const grant = {
  agentId: 'a',
  credentialId: 'c',
  allow: ['*'],
  deny: [],
  limits: {},
  expiresAt: null,
  createdAt: 0,
}

test('what a former release reads is written for it; a member, a value or a setting that it does not know is not', () => {
  expect(isReadableAt(1, 'grant', 'g', grant)).toBe(true)
  expect(isReadableAt(1, 'grant', 'g', { ...grant, more: 1 })).toBe(false)
  expect(isReadableAt(1, 'grant', 'g', { ...grant, limits: { more: 1 } })).toBe(false)
  expect(isReadableAt(1, 'term', 't', { purpose: 'other', wrapped: '', state: 'current', createdAt: 0 })).toBe(false)
  expect(isReadableAt(1, 'setting', 'last-commit.node-1', { value: 1 })).toBe(true)
  expect(isReadableAt(1, 'setting', 'of-another-kind', { value: 1 })).toBe(false)
  expect(isReadableAt(storeSchema, 'setting', 'of-another-kind', { value: 1 })).toBe(true)
})

test('a table that a former release does not know is not written for it', () => {
  for (const table of tableNames)
    if (formerSchemas.get(1)?.tables[table] === undefined) expect(isReadableAt(1, table, 'x', {})).toBe(false)
})

test('every schema that a store may still have is there', () => {
  const numbers = Array.from({ length: storeSchema - oldestStoreSchema }, (_, index) => oldestStoreSchema + index)
  expect([...formerSchemas.keys()]).toEqual(numbers)
})

describe.skipIf(withoutFormerRelease !== null)(`schema 1 ${withoutFormerRelease ?? ''}`, () => {
  test('is what release 0.1.0 itself reads', async () => {
    const release = takeFormerRelease()
    try {
      const there: { recordSchemas: Record<string, z.ZodType> } = await import(
        `${release.folder}/src/vault/record-schemas.ts`
      )
      const shapesOf = (tables: Partial<Record<string, z.ZodType>>): Record<string, unknown> =>
        Object.fromEntries(
          Object.entries(tables).map(([table, schema]) => [
            table,
            schema === undefined ? null : z.toJSONSchema(schema),
          ]),
        )
      expect(shapesOf(formerSchemas.get(1)?.tables ?? {})).toEqual(shapesOf(there.recordSchemas))
    } finally {
      release.remove()
    }
  })
})
