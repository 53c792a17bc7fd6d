import { copyFileSync, readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { sign, verify } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { Secret } from '../core/secret.ts'
import { openSqliteStore } from '../stores/sqlite.ts'
import { createCredentials } from './credentials.ts'
import { fileRootKey, rootKeyBytes, sampleService, vaultFolder } from './fixture.ts'
import { passphraseRootKey as passphraseOf } from './root-keys/passphrase.ts'
import { createVault, hasVault } from './vault.ts'
import type { Vault } from './vault.ts'
import type { Records } from './records.ts'

const home = vaultFolder('vault')
afterAll(() => home.remove())
const passphraseRootKey = (passphrase: Secret) => passphraseOf(passphrase, home.random)
const service = sampleService('echo', { key: 'secret' })
const place = { environment: 'dev', credentialId: 'c', number: 1 }

function credentialsOf({ records, vault }: { records: Records; vault: Vault }) {
  return createCredentials({ records, vault, service: () => service, now: home.now, newId: home.newId })
}

function textOf(fields: Readonly<Record<string, Secret | string>>, field: string): string | undefined {
  const value = fields[field]
  return value instanceof Secret ? value.revealText() : value
}

describe('a new vault', () => {
  test('has its environments, one slot and one term of each purpose', async () => {
    const { records } = await home.create()
    const egress = [...records.all('environment')].map(([id, { name, egress }]) => [id, name, egress]).toSorted()
    expect(egress).toEqual([
      ['dev', 'dev', 'open'],
      ['prod', 'prod', 'deny'],
      ['staging', 'staging', 'deny'],
    ])
    expect(records.all('slot').size).toBe(1)
    expect([...records.all('term').values()].map(({ purpose }) => purpose).toSorted()).toEqual([
      'ca',
      'fingerprint',
      'journal',
      'seal',
      'token',
    ])
    await records.close()
  })

  test('gives the same keys each time it is opened, each fit for its use', async () => {
    const { records, vault, path } = await home.create()
    await records.close()
    const again = await home.openAt(path)
    const { privateKey, publicKey } = again.vault.journalKey()
    expect(verify(null, Buffer.from('x'), publicKey, sign(null, Buffer.from('x'), vault.journalKey().privateKey))).toBe(
      true,
    )
    expect(privateKey.asymmetricKeyType).toBe('ed25519')
    expect(again.vault.caKey().asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
    expect(again.vault.caKey().equals(vault.caKey())).toBe(true)
    expect(again.vault.macKey('token').equals(vault.macKey('token'))).toBe(true)
    expect(again.vault.macKey('token').equals(vault.macKey('fingerprint'))).toBe(false)
    await again.records.close()
  })

  test('is not made over another, and is made where the first start was broken off', async () => {
    const { records, path } = await home.create()
    await records.close()
    const options = { rootKey: home.rootKey, now: home.now, random: home.random }
    const taken = await openSqliteStore(path)
    expect(await hasVault(taken)).toBe(true)
    await expect(createVault({ store: taken, ...options })).rejects.toMatchObject({ code: 'store_conflict' })
    await taken.close()
    const begun = await openSqliteStore(home.path('begun.db'))
    expect(await hasVault(begun)).toBe(false)
    await begun.initialise({ storeId: 'begun', schema: 1 })
    expect(await hasVault(begun)).toBe(false)
    const { records: made } = await createVault({ store: begun, ...options })
    expect(made.storeId).toBe('begun')
    await made.close()
  })
})

describe('opening', () => {
  test('with another root key, or one of another kind, is refused', async () => {
    const { records, path } = await home.create()
    await records.close()
    expect(await home.refusal(path, fileRootKey('another'))).toMatchObject({ code: 'root_key_wrong' })
    const passphrase = passphraseRootKey(Secret.fromText('passphrase', 'x'))
    expect(await home.refusal(path, passphrase)).toMatchObject({ code: 'root_key_wrong' })
  })

  test('when the only slot was changed, removed or joined by another names the slot, not the root key', async () => {
    const passphrase = passphraseRootKey(Secret.fromText('passphrase', 'four words of nobody'))
    for (const rootKey of [home.rootKey, passphrase]) {
      const { records, path } = await home.create(rootKey)
      const [id = ''] = records.all('slot').keys()
      await records.close()
      const attacks = [
        `UPDATE record SET body = replace(body, '"wrapped":"A', '"wrapped":"B') WHERE tbl = 'slot'`,
        `UPDATE record SET body = replace(body, '"passes":3', '"passes":2') || ' ' WHERE tbl = 'slot'`,
        `DELETE FROM record WHERE tbl = 'slot'`,
      ]
      for (const [index, sql] of attacks.entries()) {
        const copy = `${path}-${index}`
        copyFileSync(path, copy)
        const database = new DatabaseSync(copy)
        database.exec(sql)
        database.close()
        expect(await home.refusal(copy, rootKey)).toEqual({
          code: 'store_tampered',
          detail: expect.stringContaining(`Table slot, row ${id}:`),
        })
      }
      expect(await home.refusal(path, rootKey)).toBeNull()
    }
  })
})

describe('slots', () => {
  test('let a second root key in, never a third, and a retired one no more', async () => {
    const { records, vault, path } = await home.create()
    const [first = ''] = records.all('slot').keys()
    await expect(vault.slots.retireSlot(first, 'test')).rejects.toMatchObject({ code: 'slot_last' })
    const passphrase = passphraseRootKey(Secret.fromText('passphrase', 'correct horse'))
    const { slotId } = await vault.slots.addSlot(passphrase, 'test')
    await expect(vault.slots.addSlot(home.rootKey, 'test')).rejects.toMatchObject({ code: 'slots_full' })
    await records.close()

    const second = await home.openAt(path, passphrase)
    expect(second.vault.caKey().equals(vault.caKey())).toBe(true)
    await second.vault.slots.retireSlot(first, 'test')
    await expect(second.vault.slots.retireSlot(slotId, 'test')).rejects.toMatchObject({ code: 'slot_last' })
    await expect(second.vault.slots.retireSlot('never', 'test')).rejects.toMatchObject({ code: 'not_found' })
    await second.records.close()
    expect(await home.refusal(path)).toMatchObject({ code: 'root_key_wrong' })
    const wrong = passphraseRootKey(Secret.fromText('passphrase', 'correct house'))
    expect(await home.refusal(path, wrong)).toMatchObject({ code: 'root_key_wrong' })
    expect(await home.refusal(path, passphrase)).toBeNull()
  })
})

describe('a sealed version', () => {
  test('opens only as itself', async () => {
    const { records, vault } = await home.create()
    const sealed = vault.sealVersion(place, {
      key: Secret.fromText('key', 'a value'),
      other: Secret.fromText('other', 'b'),
    })
    expect(textOf(vault.openVersion(place, sealed), 'key')).toBe('a value')
    const elsewhere = [
      { ...place, environment: 'prod' },
      { ...place, credentialId: 'd' },
      { ...place, number: 2 },
    ]
    for (const wrong of elsewhere)
      expect(() => vault.openVersion(wrong, sealed)).toThrow(expect.objectContaining({ code: 'vault_damaged' }))
    const { key = '', other = '' } = sealed.sealedFields
    const exchanged = { ...sealed, sealedFields: { key: other, other: key } }
    expect(() => vault.openVersion(place, exchanged)).toThrow(/field key: altered/)
    const second = vault.sealVersion(place, { key: Secret.fromText('key', 'a value') })
    expect(() => vault.openVersion(place, { ...sealed, wrappedKey: second.wrappedKey })).toThrow(/wrong_key/)
    expect(() => vault.openVersion(place, { ...sealed, term: 'gone' })).toThrow(/keyring term gone is not there/)
    expect(second.wrappedKey).not.toBe(sealed.wrappedKey)
    await records.close()
  })

  test('of one store does not open in another with the same keys', async () => {
    const one = await home.create()
    const two = await home.create()
    const sealed = one.vault.sealVersion(place, { key: Secret.fromText('key', 'v') })
    expect(() => two.vault.openVersion(place, sealed)).toThrow(expect.objectContaining({ code: 'vault_damaged' }))
    await one.records.close()
    await two.records.close()
  })
})

describe('rotating the seal term', () => {
  test('leaves everything readable; rewrap moves all to the new term without touching the fields, and drops the old', async () => {
    const opened = await home.create()
    const { records, vault } = opened
    const credentials = credentialsOf(opened)
    const ids: string[] = []
    for (let index = 0; index < 450; index += 1) {
      const fields = { key: Secret.fromText('key', `secret value ${index}`) }
      const base = { environment: 'dev', service: 'echo', owner: null, sensitivity: 'low' } as const
      ids.push((await credentials.add({ ...base, name: `c${index}`, fields }, 'test')).id)
    }
    const before = new Map([...records.all('version')].map(([id, { sealedFields }]) => [id, sealedFields]))
    const { termId } = await vault.rotateTerm('test')
    expect(textOf(credentials.current(ids[0] ?? '').fields, 'key')).toBe('secret value 0')

    // Broken off after the first batch, by a journal that refuses the second.
    let intents = 0
    records.attach({
      async intent() {
        if ((intents += 1) > 1) throw new Error('broken off')
      },
      applied: async () => undefined,
    })
    await expect(vault.rewrap('test')).rejects.toThrow('broken off')
    const moved = [...records.all('version').values()].filter(({ term }) => term === termId).length
    expect(moved).toBeGreaterThan(0)
    expect(moved).toBeLessThan(450)
    expect([...records.all('term').values()].filter(({ purpose }) => purpose === 'seal')).toHaveLength(2)
    await records.close()

    const again = await home.openAt(opened.path)
    expect(await again.vault.rewrap('test')).toEqual({ rewrapped: 450 - moved, termsRemoved: 1 })
    expect(await again.vault.rewrap('test')).toEqual({ rewrapped: 0, termsRemoved: 0 })
    const current = credentialsOf(again)
    for (const [index, id] of ids.entries())
      expect(textOf(current.current(id).fields, 'key')).toBe(`secret value ${index}`)
    for (const [id, version] of again.records.all('version')) expect(version.sealedFields).toEqual(before.get(id))
    await again.records.close()
  })
})

test('no secret stands in the database, in any usual encoding', async () => {
  const opened = await home.create()
  const value = Buffer.from(home.random(24)).toString('hex')
  const base = { name: 'c', environment: 'dev', service: 'echo', owner: null, sensitivity: 'high' } as const
  await credentialsOf(opened).add({ ...base, fields: { key: Secret.fromText('key', value) } }, 'test')
  await opened.records.close()
  const bytes = readFileSync(opened.path)
  const root = rootKeyBytes('vault')
  for (const needle of [Buffer.from(value), root]) {
    for (const encoding of ['latin1', 'hex', 'base64', 'base64url'] as const) {
      expect(bytes.includes(Buffer.from(needle.toString(encoding), 'latin1'))).toBe(false)
    }
  }
})
