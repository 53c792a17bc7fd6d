import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startWitness } from '../../test/witness-server.ts'
import { checkpointKey, verifierKeyOf } from './checkpoint.ts'
import type { Checkpoint } from './checkpoint.ts'
import { parseWitnessKey } from './cosignature.ts'
import { openJournal } from './journal.ts'
import { applyPruning, planPruning } from './prune.ts'
import { COSIGNED_FILE, createRemoteWitness, readCosigned } from './remote-witness.ts'

/** Promise 5, "one newer anchor": against a witness by the letter of the specification (test/witness-server.ts). */

const keys = generateKeyPairSync('ed25519')
const key = checkpointKey('keyward/n', keys.publicKey)
let folder: string
let server: Awaited<ReturnType<typeof startWitness>>

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'keyward-witness-'))
  server = await startWitness()
  server.addLog(verifierKeyOf(key))
})
afterEach(async () => {
  rmSync(folder, { recursive: true })
  await server.close()
})

function witness() {
  const parsed = parseWitnessKey(server.key)
  if (parsed === undefined) throw new Error('the key of the witness is none')
  return parsed
}

/** Writes a journal and gives its checkpoint at each of the sizes. */
async function write(name: string, sizes: readonly number[], word = 'a'): Promise<Checkpoint[]> {
  const directory = join(folder, name)
  const journal = await openJournal({ directory, node: 'n', ...keys, now: () => 1, segmentBytes: 4_000 })
  const made: Checkpoint[] = []
  for (const size of sizes) {
    while (journal.size < size) await journal.append({ kind: 'intent', count: journal.size, word })
    made.push(await journal.checkpoint())
  }
  await journal.close()
  return made
}

const remote = (name: string, more: Partial<Parameters<typeof createRemoteWitness>[0]> = {}) =>
  createRemoteWitness({ url: server.url, witness: witness(), key, directory: join(folder, name), ...more })

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error),
  )

const forget = (name: string): void => rmSync(join(folder, name, COSIGNED_FILE), { force: true })

test('every pair of sizes is proven to the witness, over several segments', { timeout: 60_000 }, async () => {
  const most = 18
  const made = await write(
    'a',
    Array.from({ length: most }, (_, index) => index + 1),
  )
  const own = remote('a')
  for (let old = 0; old <= most; old += 1) {
    for (let size = Math.max(old, 1); size <= most; size += 1) {
      forget('a')
      const before = made[old - 1]
      if (before === undefined) server.signed.clear()
      else server.signed.set('keyward/n', { size: old, root: before.root })
      const checkpoint = made[size - 1]
      if (checkpoint === undefined) throw new Error('no checkpoint')
      await expect(own.submit(checkpoint), `${old} to ${size}`).resolves.toMatchObject({ size })
    }
  }
})

test('what it signed is kept, believed, and the next proof begins there', async () => {
  const [first, second] = await write('a', [20, 45])
  if (first === undefined || second === undefined) throw new Error('no checkpoint')
  const own = remote('a')
  await own.submit(first)
  await own.submit(second)
  expect(server.statuses).toEqual([200, 200])
  expect(readCosigned(join(folder, 'a'), key, witness())).toMatchObject({ size: 45, root: second.root })
  const path = join(folder, 'a', COSIGNED_FILE)
  writeFileSync(path, readFileSync(path, 'utf8').replace('\n45\n', '\n46\n'))
  expect(readCosigned(join(folder, 'a'), key, witness())).toBeNull()
})

test('a journal that was cut back, or is another one, is told by the witness', async () => {
  const [short, long] = await write('a', [20, 45])
  const [other] = await write('b', [60], 'b')
  const [same] = await write('c', [45], 'c')
  if (short === undefined || long === undefined || other === undefined || same === undefined) throw new Error('none')
  await remote('a').submit(long)
  forget('a')
  expect(await codeOf(remote('a').submit(short))).toBe('journal_rolled_back')
  expect(await codeOf(remote('b').submit(other))).toBe('journal_rolled_back')
  expect(await codeOf(remote('c').submit(same))).toBe('journal_rolled_back')
  expect(server.signed.get('keyward/n')).toEqual({ size: 45, root: long.root })
})

test('a proof goes over what was pruned where the peaks hold it, and is refused where they do not', async () => {
  const [first, last] = await write('a', [3, 60])
  if (first === undefined || last === undefined) throw new Error('none')
  const place = { directory: join(folder, 'a'), publicKey: keys.publicKey, origin: 'keyward/n' }
  const plan = await planPruning({ ...place, before: 2, known: last })
  if (plan === null) throw new Error('nothing to prune')
  await applyPruning(place.directory, plan)
  server.signed.set('keyward/n', { size: plan.checkpoint.size, root: plan.checkpoint.root })
  await expect(remote('a').submit(last)).resolves.toMatchObject({ size: 60 })
  forget('a')
  server.signed.set('keyward/n', { size: 3, root: first.root })
  expect(await codeOf(remote('a').submit(last))).toBe('witness_unavailable')
})

test('an answer that is late, unsigned, or of another key is none', async () => {
  const [checkpoint] = await write('a', [5])
  if (checkpoint === undefined) throw new Error('none')
  server.hang()
  expect(await codeOf(remote('a', { timeoutMilliseconds: 100 }).submit(checkpoint))).toBe('witness_unavailable')
  server.hang(false)
  const stranger = await startWitness()
  const other = parseWitnessKey(stranger.key)
  await stranger.close()
  if (other === undefined) throw new Error('none')
  expect(await codeOf(remote('a', { witness: other }).submit(checkpoint))).toBe('witness_unavailable')
  expect(await codeOf(remote('a', { url: stranger.url }).submit(checkpoint))).toBe('witness_unavailable')
  expect(readCosigned(join(folder, 'a'), key, witness())).toBeNull()
})
