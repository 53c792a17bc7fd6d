import { randomBytes, generateKeyPairSync } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Secret } from '../core/secret.ts'
import type { Checkpoint } from './checkpoint.ts'
import { lastEpochs } from './epochs.ts'
import type { JournalEvent } from './event.ts'
import { openJournal } from './journal.ts'
import type { Journal, JournalOptions } from './journal.ts'
import { MAX_QUEUED_ENTRIES } from './queue.ts'
import { searchJournal } from './search.ts'
import { verifyJournal } from './verify.ts'
import { AppendQueue, LINGER_MILLISECONDS, RETRY_MILLISECONDS } from './queue.ts'

const keys = generateKeyPairSync('ed25519')
let home: string
let directory: string
let open: Journal[] = []

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'keyward-journal-'))
  directory = join(home, 'journal', 'node-1')
})

afterEach(async () => {
  for (const journal of open.splice(0)) await journal.close()
  rmSync(home, { recursive: true })
})

async function start(options: Partial<JournalOptions> = {}): Promise<Journal> {
  const journal = await openJournal({ directory, node: 'node-1', ...keys, now: () => 1_790_000_000_000, ...options })
  open.push(journal)
  return journal
}

async function stop(journal: Journal): Promise<void> {
  open = open.filter((other) => other !== journal)
  await journal.close()
}

const verify = () => verifyJournal({ directory, publicKey: keys.publicKey })
const intent = (number: number): JournalEvent => ({ kind: 'intent', agent: 'triage', number })

async function events(): Promise<JournalEvent[]> {
  const found = []
  for await (const { event } of searchJournal({ directory, order: 'oldest' })) found.push(event)
  return found
}

describe('the journal', () => {
  it('keeps what was appended, in order, and goes on after a restart', async () => {
    const first = await start()
    await Promise.all(Array.from({ length: 100 }, (_, number) => first.append(intent(number))))
    expect(first.size).toBe(100)
    await stop(first)
    const second = await start()
    expect(second.size).toBe(100)
    await second.append(intent(100))
    await stop(second)
    expect(await events()).toEqual(Array.from({ length: 101 }, (_, number) => intent(number)))
    expect(await verify()).toMatchObject({
      ok: true,
      entries: 101,
      provenTo: 101,
      origin: 'keyward/node-1',
      tornTail: null,
    })
  })

  it('has an acknowledged entry in the file at once, and a synced one too', async () => {
    const journal = await start()
    await journal.append(intent(1))
    expect(readFileSync(join(directory, '00000001.jsonl'), 'utf8')).toMatch(
      /^\{"at":1790000000000,"event":\{.*"sequence":1\}\n$/,
    )
    await journal.append(intent(2), { sync: true })
    expect(readFileSync(join(directory, '00000001.jsonl'), 'utf8').split('\n')).toHaveLength(3)
  })

  it('is readable for its owner alone, even where it was not', async () => {
    const first = await start()
    await first.append(intent(1))
    await stop(first)
    chmodSync(directory, 0o755)
    for (const name of readdirSync(directory)) chmodSync(join(directory, name), 0o644)
    await stop(await start())
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o777, name).toBe(0o600)
  })

  it('signs a checkpoint after a thousand entries, after a second, and when asked', async () => {
    const seen: Checkpoint[] = []
    const journal = await start({ onCheckpoint: (checkpoint) => seen.push(checkpoint) })
    await Promise.all(Array.from({ length: 1500 }, (_, number) => journal.append(intent(number))))
    await expect.poll(() => seen.length).toBeGreaterThan(0)
    await expect.poll(() => seen.at(-1)?.size, { timeout: 3000 }).toBe(1500)
    await journal.append(intent(1500))
    const asked = await journal.checkpoint()
    expect(asked).toMatchObject({ size: 1501, origin: 'keyward/node-1' })
    expect(await journal.checkpoint()).toEqual(asked)
    expect(seen.at(-1)).toEqual(asked)
    expect(readFileSync(join(directory, 'checkpoints'), 'utf8')).toBe(seen.map(({ note }) => note).join(''))
    expect(await verifyJournal({ directory, publicKey: keys.publicKey, anchor: asked })).toMatchObject({
      ok: true,
      provenTo: 1501,
    })
  })

  it('rotates its segments, and opens with the newest alone', async () => {
    const first = await start({ segmentBytes: 2000 })
    for (let number = 0; number < 60; number++) await first.append(intent(number))
    await stop(first)
    const names = readdirSync(directory).filter((name) => name.endsWith('.jsonl'))
    expect(names.length).toBeGreaterThan(5)
    for (const name of names) expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(2000)
    const again = await start({ segmentBytes: 2000 })
    await again.append(intent(60))
    await stop(again)
    rmSync(join(directory, 'tree'))
    const slow = await start({ segmentBytes: 2000 })
    expect(slow.size).toBe(61)
    expect(await verify()).toMatchObject({ ok: true, entries: 61, provenTo: 61 })
  })

  it('carries no secret', async () => {
    const journal = await start()
    const event = { kind: 'intent' as const }
    Reflect.set(event, 'key', Secret.fromText('key', randomBytes(24).toString('hex')))
    await expect(journal.append(event)).rejects.toThrow(TypeError)
    expect(journal.size).toBe(0)
  })

  it('refuses what does not fit its queue, and takes it later', async () => {
    const journal = await start()
    const all = await Promise.allSettled(
      Array.from({ length: MAX_QUEUED_ENTRIES + 5 }, (_, number) => journal.append(intent(number))),
    )
    expect(all.filter(({ status }) => status === 'rejected')).toHaveLength(5)
    await journal.append(intent(0))
    expect(journal.size).toBe(MAX_QUEUED_ENTRIES + 1)
  })

  it('after its end, refuses', async () => {
    const journal = await start()
    await stop(journal)
    await expect(journal.append(intent(1))).rejects.toMatchObject({ code: 'journal_unwritable' })
  })

  it('knows the epochs of the store', async () => {
    const journal = await start()
    expect(await lastEpochs(directory)).toEqual({ lastApplied: null, lastIntent: null })
    await journal.append({ kind: 'control', epoch: 4 })
    await journal.append({ kind: 'applied', epoch: 4 })
    await journal.append({ kind: 'control', epoch: 5 })
    await journal.append({ kind: 'control', action: 'reveal' })
    expect(await lastEpochs(directory)).toEqual({ lastApplied: 4, lastIntent: 5 })
    await journal.append({ kind: 'start', epoch: 4 })
    expect(await lastEpochs(directory)).toEqual({ lastApplied: 4, lastIntent: 4 })
  })
})

describe('opening what is there', () => {
  const segment = () => join(directory, '00000001.jsonl')

  async function fill(count: number): Promise<void> {
    const journal = await start()
    for (let number = 0; number < count; number++) await journal.append(intent(number))
    await stop(journal)
  }

  it('cuts off a torn last line, and writes down that it did', async () => {
    await fill(3)
    appendFileSync(segment(), '{"at":1790000000000,"event":{"kind":"int')
    expect(await verify()).toMatchObject({ ok: true, entries: 3, tornTail: { file: '00000001.jsonl', bytes: 40 } })
    const journal = await start()
    expect(journal.size).toBe(4)
    expect((await events()).at(-1)).toMatchObject({
      kind: 'finding',
      finding: 'journal_tail_cut',
      file: '00000001.jsonl',
      bytes: 40,
    })
    expect(await verify()).toMatchObject({ ok: true, entries: 4, tornTail: null })
  })

  it('cuts off a torn last checkpoint', async () => {
    await fill(3)
    appendFileSync(join(directory, 'checkpoints'), 'keyward/node-1\n4\nAAAA')
    await stop(await start())
    expect(await verify()).toMatchObject({ ok: true, provenTo: 3 })
  })

  const damages: Record<string, (path: string) => void> = {
    'an edited entry': (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('"number":1', '"number":7')),
    'a removed entry': (path) => writeFileSync(path, readFileSync(path, 'utf8').replace(/\n.*\n/, '\n')),
    'a signed entry cut off': (path) => truncateSync(path, statSync(path).size - 100),
    'a removed segment': (path) => rmSync(path),
    'a whole line that is none': (path) => appendFileSync(path, 'hello\n'),
  }
  for (const [name, damage] of Object.entries(damages)) {
    it(`refuses ${name}`, async () => {
      await fill(3)
      damage(segment())
      await expect(start()).rejects.toMatchObject({ code: 'journal_damaged' })
    })
  }

  it('refuses the journal of another node, and one signed by another key', async () => {
    await fill(3)
    await expect(start({ node: 'node-2' })).rejects.toMatchObject({ code: 'journal_damaged' })
    await expect(start(generateKeyPairSync('ed25519'))).rejects.toMatchObject({ code: 'journal_damaged' })
  })

  it('says when the place cannot be used', async () => {
    writeFileSync(join(home, 'journal'), 'a file')
    await expect(start()).rejects.toMatchObject({ code: 'journal_unwritable' })
  })
})

it('what nobody waits for goes along with the next entry, or by itself after a moment', async () => {
  const batches: string[] = []
  const queue = new AppendQueue((message) => void (message.type === 'batch' && batches.push(message.bodies)), 0, 1_000)
  queue.note('one')
  await new Promise(setImmediate)
  expect(batches).toEqual([])
  const second = queue.push('two', false)
  await new Promise(setImmediate)
  expect(batches).toEqual(['one\ntwo'])
  queue.receive({ type: 'written', size: 2 })
  await second
  queue.note('three')
  await expect.poll(() => batches.length, { timeout: 100 * LINGER_MILLISECONDS }).toBe(2)
  queue.receive({ type: 'written', size: 3 })
  await queue.drained()
  queue.end('over')
})

it('what nobody waits for is dropped where an append would be refused, and stands in the way of nothing', async () => {
  const batches: string[] = []
  const queue = new AppendQueue((message) => void (message.type === 'batch' && batches.push(message.bodies)), 0, 1_000)
  queue.note('lost with its batch')
  await expect.poll(() => batches.length, { timeout: 100 * LINGER_MILLISECONDS }).toBe(1)
  queue.receive({ type: 'refused', detail: 'The disk answers ENOSPC.' })
  queue.note('dropped at once')
  await expect(queue.push('refused', false)).rejects.toMatchObject({ code: 'journal_unwritable' })
  await new Promise((done) => setTimeout(done, 2 * RETRY_MILLISECONDS))
  const later = queue.push('taken again', false)
  await new Promise(setImmediate)
  expect(batches).toEqual(['lost with its batch', 'taken again'])
  queue.receive({ type: 'written', size: 1 })
  await later
  queue.end('over')
})
