import { createHash, generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openJournal } from './journal.ts'
import type { Journal } from './journal.ts'
import { createShipping, SHIP_ATTEMPTS, SHIPPED_FILE } from './ship.ts'
import type { Shipping } from './ship.ts'
import { verifyJournal } from './verify.ts'

/** What was shipped verifies by itself, whatever happened on the way; nothing that writes the journal waits for it. */

const keys = generateKeyPairSync('ed25519')
let folder: string
let directory: string
let journal: Journal
const errors: unknown[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'keyward-ship-'))
  directory = join(folder, 'journal')
  errors.length = 0
  journal = await openJournal({ directory, node: 'n', ...keys, now: () => 1, segmentBytes: 2_500 })
})
afterEach(async () => {
  await journal.close()
  rmSync(folder, { recursive: true })
})

async function fill(count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) await journal.append({ kind: 'intent', number })
}

function shipTo(target: string, tokenFile: string | null = null): Shipping {
  const onError = (error: unknown): number => errors.push(error)
  return createShipping({
    directory,
    node: 'n',
    target,
    tokenFile,
    onError,
    everyMilliseconds: 3_600_000,
    pause: async () => {},
  })
}

const verify = (at: string) => verifyJournal({ directory: at, publicKey: keys.publicKey, origin: 'keyward/n' })
const segmentsIn = (at: string): string[] => readdirSync(at).filter((name) => name.endsWith('.jsonl'))

test('into a folder: closed segments when they are closed, the newest at the end, and all of it verifies', async () => {
  const target = join(folder, 'kept')
  const shipping = shipTo(target)
  await shipping.ship()
  expect(existsSync(join(target, 'n'))).toBe(false)
  await fill(60)
  await journal.checkpoint()
  await shipping.ship()
  const closed = segmentsIn(directory).length - 1
  expect(closed).toBeGreaterThan(2)
  expect(segmentsIn(join(target, 'n'))).toHaveLength(closed)
  expect(shipping).toMatchObject({ arrived: closed, state: { behind: 0, error: null } })
  await fill(3)
  await journal.checkpoint()
  await shipping.finish(10_000)
  expect(readdirSync(join(target, 'n')).filter((name) => name.endsWith('.part'))).toEqual([])
  const report = await verify(join(target, 'n'))
  expect(report).toMatchObject({ ok: true, entries: 63, provenTo: 63 })
})

test('shipped twice, or stopped half-way: the same files in the end', async () => {
  const target = join(folder, 'kept')
  await fill(60)
  await journal.checkpoint()
  await shipTo(target).finish(10_000)
  rmSync(join(directory, SHIPPED_FILE))
  // What a process that died in the middle leaves: a part of a file under its other name.
  writeFileSync(join(target, 'n', '00000001.jsonl.part'), 'half')
  rmSync(join(target, 'n', '00000002.jsonl'))
  await shipTo(target).finish(10_000)
  expect(await verify(join(target, 'n'))).toMatchObject({ ok: true, entries: 60 })
})

test('a target that cannot be written: told, counted, bounded, and made up for later', async () => {
  const target = join(folder, 'kept')
  writeFileSync(target, 'in the way')
  const shipping = shipTo(target)
  await fill(60)
  await shipping.ship()
  expect(shipping.arrived).toBe(0)
  expect(shipping.state.behind).toBeGreaterThan(2)
  expect(shipping.state.error).not.toBeNull()
  expect(errors).toEqual([expect.objectContaining({ code: 'journal_unshipped' })])
  await fill(1)
  rmSync(target)
  await journal.checkpoint()
  await shipping.finish(10_000)
  expect(await verify(join(target, 'n'))).toMatchObject({ ok: true, entries: 61 })
})

/** Keeps what is PUT to it as an object store does, and refuses what did not arrive whole. */
async function startTarget(at: string, token: string) {
  const failures: number[] = []
  let hangs = false
  let asked = 0
  const server: Server = createServer((request, response) => {
    asked += 1
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      if (hangs) return
      const bytes = Buffer.concat(pieces)
      const digest = createHash('sha256').update(bytes).digest('base64')
      const failure = failures.shift()
      const isMeant = request.method === 'PUT' && request.headers.authorization === `Bearer ${token}`
      const isWhole = request.headers['content-digest'] === `sha-256=:${digest}:`
      if (failure !== undefined || !isMeant || !isWhole)
        return response.writeHead(failure ?? (isMeant ? 400 : 401)).end()
      const path = join(at, request.url ?? '')
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, bytes)
      return response.writeHead(201).end()
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    failures,
    hang: () => (hangs = true),
    asked: () => asked,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

test('to an URL: with the token of the file, tried again, and verifies', async () => {
  const token = `t-${createHash('sha256').update(String(process.pid)).digest('hex')}`
  writeFileSync(join(folder, 'token'), `${token}\n`)
  const kept = join(folder, 'kept')
  const target = await startTarget(kept, token)
  target.failures.push(503, 507, 500)
  await fill(60)
  await journal.checkpoint()
  const shipping = shipTo(target.url, join(folder, 'token'))
  await shipping.finish(10_000)
  expect(await verify(join(kept, 'n'))).toMatchObject({ ok: true, entries: 60 })
  expect(errors).toEqual([])
  target.close()
})

test('a full target is asked so often and not more; one that hangs does not hold the end or the journal', async () => {
  writeFileSync(join(folder, 'token'), 'some-token')
  const target = await startTarget(join(folder, 'kept'), 'some-token')
  target.failures.push(...Array.from({ length: 100 }, () => 507))
  await fill(60)
  const shipping = shipTo(target.url, join(folder, 'token'))
  await shipping.ship()
  expect(target.asked()).toBe(SHIP_ATTEMPTS)
  expect(shipping.state.error).toBe('The target answers 507.')
  target.failures.length = 0
  target.hang()
  const ending = shipping.finish(300)
  await fill(20)
  await ending
  expect(shipping.arrived).toBe(0)
  target.close()
})
