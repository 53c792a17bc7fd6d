import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Secret } from '../../../src/core/secret.ts'
import type { Store, StoredRow } from '../../../src/stores/store.ts'
import { createCredentials } from '../../../src/vault/credentials.ts'
import { sampleService, seededRandom } from '../../../src/vault/fixture.ts'
import { frame } from '../../../src/vault/framing.ts'
import { openKeyring, openSlot } from '../../../src/vault/keyring.ts'
import { recordSchemas } from '../../../src/vault/record-schemas.ts'
import { heldRootKey, parseRootKey } from '../../../src/vault/root-keys/file.ts'
import { passphraseRootKey } from '../../../src/vault/root-keys/passphrase.ts'
import { macHolds } from '../../../src/vault/row-mac.ts'
import { deriveKey, open, sealingKey } from '../../../src/vault/sealing.ts'
import { openVault } from '../../../src/vault/vault.ts'
import { bytesOfLabel, keyOfLabel, vaultVectors } from './make.ts'

function read<T>(name: string, schema: z.ZodType<T>): T {
  return schema.parse(JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8')))
}

const part = z.union([z.string(), z.number()])
const sealed = z.object({
  keyLabel: z.string(),
  purpose: z.enum(['slot', 'term', 'data-key', 'field']),
  context: z.array(part),
  plain: z.string(),
  envelope: z.string(),
})
const row = z.object({ table: z.string(), id: z.string(), seq: z.number(), body: z.string(), mac: z.string() })
const base = { storeId: z.string(), masterLabel: z.string(), id: z.string() }

test('the files are what the code makes today', async () => {
  const made = await vaultVectors()
  const files = readdirSync(new URL('.', import.meta.url)).filter((name) => name.endsWith('.json'))
  expect(files.toSorted()).toEqual(
    Object.keys(made)
      .map((name) => `${name}.json`)
      .toSorted(),
  )
  for (const [name, content] of Object.entries(made)) expect(read(name, z.unknown())).toEqual(content)
})

test('framing', () => {
  const { cases } = read(
    'framing',
    z.object({ cases: z.array(z.object({ label: z.string(), parts: z.array(part), hex: z.string() })) }),
  )
  for (const { label, parts, hex } of cases) expect(frame(label, parts).toString('hex')).toBe(hex)
})

test('derived keys', () => {
  const { cases } = read(
    'derived-keys',
    z.object({ cases: z.array(z.object({ keyLabel: z.string(), use: z.string(), sha256: z.string() })) }),
  )
  for (const { keyLabel, use, sha256 } of cases) {
    expect(
      createHash('sha256')
        .update(deriveKey(keyOfLabel(keyLabel), use).export())
        .digest('hex'),
    ).toBe(sha256)
  }
})

describe('envelopes', () => {
  const failure = z.enum(['malformed', 'wrong_key', 'altered'])
  const schema = z.object({ cases: z.array(sealed), damaged: z.array(sealed.extend({ what: z.string(), failure })) })
  const { cases, damaged } = read('envelopes', schema)
  test('open', () => {
    for (const { keyLabel, purpose, context, plain, envelope } of cases) {
      const opened = open(sealingKey(keyOfLabel(keyLabel), purpose), context, envelope)
      expect('bytes' in opened ? opened.bytes.toString() : opened).toBe(plain)
    }
  })
  test.each(damaged)('with $what fails as $failure', ({ keyLabel, purpose, context, envelope, failure }) => {
    expect(open(sealingKey(keyOfLabel(keyLabel), purpose), context, envelope)).toEqual({ failure })
  })
})

test('row MACs', () => {
  const { cases } = read(
    'row-macs',
    z.object({ cases: z.array(row.extend({ keyLabel: z.string(), storeId: z.string() })) }),
  )
  for (const { keyLabel, storeId, ...stored } of cases) {
    const mac = Buffer.from(stored.mac, 'hex')
    expect(macHolds(keyOfLabel(keyLabel), storeId, { ...stored, mac })).toBe(true)
    expect(macHolds(keyOfLabel(keyLabel), `${storeId}x`, { ...stored, mac })).toBe(false)
    expect(macHolds(keyOfLabel(keyLabel), storeId, { ...stored, mac: mac.subarray(1) })).toBe(false)
  }
})

test('root key files', () => {
  const damaged = z.array(z.object({ text: z.string(), failure: z.literal('root_key_wrong') }))
  const schema = z.object({ keyLabel: z.string(), checksum: z.string(), opens: z.array(z.string()), damaged })
  const vector = read('root-key-files', schema)
  const key = bytesOfLabel(vector.keyLabel)
  const filled = (text: string) =>
    text.replace('{key}', key.toString('base64url')).replace('{checksum}', vector.checksum)
  for (const text of vector.opens) expect(parseRootKey(filled(text))?.export().equals(key)).toBe(true)
  for (const { text } of vector.damaged) expect(parseRootKey(filled(text)), text).toBeNull()
})

test('slots and terms', async () => {
  const slot = z.object({
    ...base,
    rootKeyLabel: z.string().optional(),
    passphrase: z.string().optional(),
    slot: recordSchemas.slot,
    failure: z.literal('root_key_wrong').nullable(),
  })
  const schema = z.object({ slots: z.array(slot), terms: z.array(z.object({ ...base, term: recordSchemas.term })) })
  const { slots, terms } = read('wraps', schema)
  for (const { storeId, masterLabel, id, rootKeyLabel, passphrase, slot, failure } of slots) {
    const rootKey =
      passphrase === undefined
        ? heldRootKey('file', keyOfLabel(rootKeyLabel ?? ''))
        : passphraseRootKey(Secret.fromText('passphrase', passphrase), seededRandom('unused'))
    const master = await openSlot(rootKey, storeId, id, slot)
    expect(master?.equals(keyOfLabel(masterLabel)) ?? null, id).toBe(failure === null ? true : null)
  }
  const byId = new Map(terms.map(({ id, term }) => [id, term]))
  const { storeId = '', masterLabel = '' } = terms[0] ?? {}
  const keyring = openKeyring(keyOfLabel(masterLabel), storeId, byId)
  expect(keyring.sealTerm).toBe('term-seal')
  expect(() => openKeyring(keyOfLabel(masterLabel), `${storeId}x`, byId)).toThrow(
    expect.objectContaining({ code: 'vault_damaged' }),
  )
})

describe('a whole store', () => {
  const vector = read(
    'store',
    z.object({
      rootKeyLabel: z.string(),
      identity: z.object({ storeId: z.string(), schema: z.number() }),
      epoch: z.number(),
      rows: z.array(row),
      opens: z.object({ credential: z.string(), version: z.number(), fields: z.record(z.string(), z.string()) }),
      damaged: z.array(
        z.object({
          what: z.string(),
          put: z.array(row).optional(),
          remove: z.tuple([z.string(), z.string()]).optional(),
          names: z.tuple([z.string(), z.string()]),
          failure: z.literal('store_tampered'),
        }),
      ),
    }),
  )
  function openRows(rows: readonly z.infer<typeof row>[]) {
    const stored: StoredRow[] = rows.map((each) => ({ ...each, mac: Buffer.from(each.mac, 'hex') }))
    const store: Store = {
      kind: 'vector',
      node: null,
      nodes: null,
      changesSince: async () => [],
      identity: async () => vector.identity,
      initialise: () => Promise.reject(new Error('read only')),
      epoch: async () => vector.epoch,
      load: async () => stored,
      commit: () => Promise.reject(new Error('read only')),
      close: async () => undefined,
    }
    const rootKey = heldRootKey('file', keyOfLabel(vector.rootKeyLabel))
    return openVault({ store, rootKey, now: () => 0, random: seededRandom('unused') })
  }

  test('opens', async () => {
    const { records, vault } = await openRows(vector.rows)
    expect(records.epoch).toBe(vector.epoch)
    const service = sampleService('echo', { account: 'public', key: 'secret' })
    const credentials = createCredentials({
      records,
      vault,
      service: () => service,
      now: () => 0,
      newId: () => 'unused',
    })
    const { number, fields } = credentials.current(vector.opens.credential)
    const texts = Object.entries(fields).map(([field, value]) => [
      field,
      typeof value === 'string' ? value : value.revealText(),
    ])
    expect([number, Object.fromEntries(texts)]).toEqual([vector.opens.version, vector.opens.fields])
  })

  test.each(vector.damaged)(
    'with a row $what is refused, naming it',
    async ({ put = [], remove, names: [table, id], failure }) => {
      const rows = new Map(vector.rows.map((each) => [`${each.table} ${each.id}`, each]))
      for (const each of put) rows.set(`${each.table} ${each.id}`, each)
      if (remove !== undefined) rows.delete(remove.join(' '))
      await expect(openRows([...rows.values()])).rejects.toMatchObject({
        code: failure,
        detail: expect.stringContaining(`Table ${table}, row ${id}:`),
      })
    },
  )
})
