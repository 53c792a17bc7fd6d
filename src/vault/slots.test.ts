import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Secret } from '../core/secret.ts'
import { openSqliteStore } from '../stores/sqlite.ts'
import { createCredentials } from './credentials.ts'
import { recordingAnchor, sampleService, vaultFolder } from './fixture.ts'
import { fileSource } from './root-keys/file.ts'
import { newRecoveryKey, recoveryRootKey } from './root-keys/recovery.ts'
import { createVault, REWRAP_BATCH } from './vault.ts'

const home = vaultFolder('slots')
const keys = mkdtempSync(join(tmpdir(), 'keyward-slots-'))
afterAll(() => {
  home.remove()
  rmSync(keys, { recursive: true })
})
let made = 0

async function withFile() {
  const source = fileSource({ path: join(keys, `${(made += 1)}`), random: home.random })
  const rootKey = await source.first()
  return { source, rootKey, ...(await home.create(rootKey)) }
}

describe('a rotation of the root key', () => {
  test('lets the new one in and the old one no more, and tells who came in by which', async () => {
    const { source, rootKey, records, vault, path } = await withFile()
    const before = vault.slots.openedBy
    const { slotId, retired } = await vault.slots.rotateRoot(() => source.next(null), 'test')
    expect([retired, vault.slots.openedBy, [...records.all('slot').keys()]]).toEqual([before, slotId, [slotId]])
    expect(records.get('slot', slotId)).not.toHaveProperty('replaces')
    await records.close()
    expect(await home.refusal(path, rootKey)).toMatchObject({ code: 'root_key_wrong' })
    const again = await home.openAt(path, await source.existing())
    expect(again.vault.caKey().equals(vault.caKey())).toBe(true)
    await again.records.close()
  })

  test('broken off at any step leaves a vault that opens with the key that is there, and ends when it is done again', async () => {
    // intent and applied of two commits, and the moment in which the file changes its name.
    for (const step of ['intent 1', 'applied 1', 'settle', 'settled', 'intent 2', 'applied 2']) {
      const { source, records, vault, path } = await withFile()
      const counts = { intent: 0, applied: 0 }
      const stop = (at: string): void => {
        if (at === step) throw new Error(`broken off at ${at}`)
      }
      records.attach({
        intent: async () => stop(`intent ${(counts.intent += 1)}`),
        applied: async () => stop(`applied ${(counts.applied += 1)}`),
      })
      const begin = async () => {
        const next = await source.next(null)
        const settle = async () => {
          stop('settle')
          await next.settle()
          stop('settled')
        }
        // A process that is killed takes nothing back.
        return { ...next, settle, discard: async () => undefined }
      }
      await expect(vault.slots.rotateRoot(begin, 'test'), step).rejects.toThrow(`broken off at ${step}`)
      await records.close()
      const again = await home.openAt(path, await source.existing())
      const { slotId } = await again.vault.slots.rotateRoot(() => source.next(null), 'test')
      expect([...again.records.all('slot').keys()], step).toEqual([slotId])
      await again.records.close()
      expect(await home.refusal(path, await source.existing()), step).toBeNull()
    }
  })

  test('two at a time come one after the other', async () => {
    const { source, records, vault, path } = await withFile()
    await Promise.all([1, 2, 3].map(() => vault.slots.rotateRoot(() => source.next(null), 'test')))
    expect(records.all('slot').size).toBe(1)
    await records.close()
    expect(await home.refusal(path, await source.existing())).toBeNull()
  })
})

describe('a recovery key', () => {
  test('opens beside two root keys, takes the place of the one before, and of all root keys when they are lost', async () => {
    const { source, records, vault, path, rootKey } = await withFile()
    await vault.slots.addSlot(home.rootKey, 'test')
    const former = newRecoveryKey(home.random)
    const { text, rootKey: recovery } = newRecoveryKey(home.random)
    await vault.slots.addSlot(former.rootKey, 'test')
    await vault.slots.addSlot(recovery, 'test')
    expect(records.all('slot').size).toBe(3)
    await records.close()
    expect(await home.refusal(path, former.rootKey)).toMatchObject({ code: 'root_key_wrong' })

    const typed = Secret.fromText('typed', text.revealText().toLowerCase())
    const opened = await home.openAt(path, recoveryRootKey(typed))
    const next = await source.next(null)
    const { retired } = await opened.vault.slots.replaceAll(next.rootKey, 'test')
    expect(retired).toHaveLength(2)
    await opened.records.close()
    for (const lost of [rootKey, home.rootKey])
      expect(await home.refusal(path, lost)).toMatchObject({ code: 'root_key_wrong' })
    expect(await home.refusal(path, next.rootKey)).toBeNull()
    expect(await home.refusal(path, recovery)).toBeNull()
  })

  test('is there from the first commit where it is asked for', async () => {
    const store = await openSqliteStore(home.path('first.db'))
    const { rootKey: recovery } = newRecoveryKey(home.random)
    const { records } = await createVault({
      store,
      rootKey: home.rootKey,
      recovery,
      now: home.now,
      random: home.random,
    })
    expect([...records.all('slot').values()].map(({ kind }) => kind).toSorted()).toEqual(['file', 'recovery'])
    await records.close()
    expect(await home.refusal(home.path('first.db'), recovery)).toBeNull()
  })
})

test('a rewrap that is stopped at any commit, before it or after it, goes on and ends', async () => {
  const service = sampleService('echo', { key: 'secret' })
  const opened = await home.create()
  const { records, vault, path } = opened
  const credentials = createCredentials({ records, vault, service: () => service, now: home.now, newId: home.newId })
  const ids: string[] = []
  for (let index = 0; index < 2 * REWRAP_BATCH + 1; index += 1) {
    const fields = { key: Secret.fromText('key', `secret value ${index}`) }
    const base = { environment: 'dev', service: 'echo', owner: null, sensitivity: 'low' } as const
    ids.push((await credentials.add({ ...base, name: `c${index}`, fields }, 'test')).id)
  }
  const sealed = new Map([...records.all('version')].map(([id, { sealedFields }]) => [id, sealedFields]))
  await vault.rotateTerm('test')
  await records.close()
  // Three commits of versions and one of terms, each stopped at its intent, and once it was made.
  for (const step of ['intent', 'applied']) {
    for (let broken = 1; broken <= 4; broken += 1) {
      const again = await home.openAt(path)
      if (!again.vault.isRewrapDue()) await again.vault.rotateTerm('test')
      const counts = { intent: 0, applied: 0 }
      const stop = (at: 'intent' | 'applied') => async () => {
        if ((counts[at] += 1) === broken && at === step) throw new Error('broken off')
      }
      again.records.attach({ intent: stop('intent'), applied: stop('applied') })
      await expect(again.vault.rewrap('test')).rejects.toThrow('broken off')
      await again.records.close()
      const after = await home.openAt(path)
      after.records.attach(recordingAnchor())
      await after.vault.rewrap('test')
      expect(after.vault.isRewrapDue()).toBe(false)
      expect([...after.records.all('term').values()].filter(({ purpose }) => purpose === 'seal')).toHaveLength(1)
      for (const [id, { sealedFields }] of after.records.all('version')) expect(sealedFields).toEqual(sealed.get(id))
      await after.vault.rotateTerm('test')
      await after.records.close()
    }
  }
  const last = await home.openAt(path)
  const current = createCredentials({
    records: last.records,
    vault: last.vault,
    service: () => service,
    now: home.now,
    newId: home.newId,
  })
  for (const [index, id] of ids.entries()) {
    const value = current.current(id).fields['key']
    expect(value instanceof Secret ? value.revealText() : value).toBe(`secret value ${index}`)
  }
  await last.records.close()
})
