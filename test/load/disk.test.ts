import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { afterEach, describe, expect, test } from 'vitest'
import { always } from '../e2e/gateway/upstream.ts'
import { header } from '../e2e/gateway/wire.ts'
import { ordinary, own } from '../harness.ts'
import { fillUp, measurable, requestText, serve, type LoadSession, type Served } from './served.ts'

/** Promise 4 while requests run: the disk fills up or hangs under them. */

const LANES = 24
/** The promise is one second for each request; a machine that runs other tests adds its own. */
const REFUSED_WITHIN_MILLISECONDS = 2_500

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

interface Told {
  readonly code: string
  readonly milliseconds: number
}

/** Asks all the time on many connections until it is told to stop. */
function stream(served: Served, session: LoadSession) {
  let told: Told[] = []
  const ending = new AbortController()
  async function lane(index: number): Promise<void> {
    const way = index % 2 === 0 ? 'direct' : 'tunnel'
    const open = () => (way === 'direct' ? served.direct() : served.tunnel(session))
    let wire = await open()
    while (!ending.signal.aborted) {
      const startedAt = performance.now()
      wire.write(`${requestText(way, session, `/lane/${index}`)}\r\n`)
      const answer = await wire.answer()
      told.push({
        code: header(answer, 'keyward-error') ?? String(answer.status),
        milliseconds: performance.now() - startedAt,
      })
      if (header(answer, 'connection') === 'close') {
        wire.close()
        wire = await open()
      }
      await new Promise((done) => setTimeout(done, 5))
    }
    wire.close()
  }
  const lanes = Promise.all(Array.from({ length: LANES }, (_, index) => lane(index)))
  return {
    /** What was told since the last look. */
    take(): Told[] {
      const all = told
      told = []
      return all
    },
    async until(condition: (all: readonly Told[]) => boolean): Promise<Told[]> {
      await expect.poll(() => condition(told), { timeout: 20_000, interval: 10 }).toBe(true)
      return this.take()
    },
    async stop(): Promise<void> {
      ending.abort()
      await lanes
    },
  }
}

/** Requests run; `fill` takes the room away; everything is refused in time and nothing arrives; `free` gives it back. */
async function fillsUp(served: Served, fill: () => void, free: () => void): Promise<void> {
  const session = await served.session()
  const asking = stream(served, session)
  cleanups.push(() => asking.stop())
  await asking.until((all) => all.length > LANES * 2)
  fill()
  await asking.until((all) => all.some(({ code }) => code === 'journal_unwritable'))
  await asking.until((all) => all.length > LANES)
  const arrived = served.upstream.got.length
  const refused = await asking.until((all) => all.length > LANES * 3)
  expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['journal_unwritable']))
  expect(Math.max(...refused.map(({ milliseconds }) => milliseconds))).toBeLessThan(REFUSED_WITHIN_MILLISECONDS)
  expect(served.upstream.got.length).toBe(arrived)
  // The gateway itself goes on, and so does its control socket; only changes are refused.
  expect((await served.house.keyward(['status'])).code).toBe(0)
  const change = await served.house.keyward(['agent', 'add', 'unwritten'])
  expect(
    [change.code, /journal cannot be written|database cannot be (?:read|written)/.test(change.err)],
    change.err,
  ).toEqual([1, true])
  free()
  await expect.poll(() => asking.take().some(({ code }) => code === '200'), { timeout: 10_000 }).toBe(true)
  await asking.until((all) => all.length > LANES && all.slice(-LANES).every(({ code }) => code === '200'))
  await asking.stop()
  await served.house.expectDone(['agent', 'add', 'written'])
  const verified = await served.house.keyward(['journal', 'verify'])
  expect(verified.code, verified.out + verified.err).toBe(0)
  await served.server.stop()
  const again = await served.house.up()
  expect((await served.house.keyward(['journal', 'verify'])).code).toBe(0)
  expect((await served.house.keyward(['agent', 'show', 'unwritten'])).code).toBe(1)
  await again.stop()
}

const hasTool = (name: string): boolean =>
  ['/usr/bin', '/bin', '/usr/sbin', '/sbin'].some((folder) => existsSync(join(folder, name)))
const tool = (command: string, ...args: string[]): boolean => spawnSync(command, args, { stdio: 'ignore' }).status === 0

describe.skipIf(!measurable)('full', () => {
  test.skipIf(!hasTool('prlimit'))('no file may grow any more', { timeout: 60_000 }, async () => {
    const served = await serve(always(200, {}, 'ok'))
    cleanups.push(() => served.close())
    const segment = join(served.house.home, 'journal/node-1/00000001.jsonl')
    const limit = (soft: number | 'unlimited') => {
      const set = spawnSync('prlimit', ['--pid', String(served.server.pid), `--fsize=${soft}:unlimited`], ordinary)
      expect(set.status).toBe(0)
    }
    await fillsUp(
      served,
      () => limit(statSync(segment).size),
      () => limit('unlimited'),
    )
  })

  /** A file system of its own, which only root may mount; and not in every container. */
  test('a file system without room', { timeout: 60_000 }, async (context) => {
    if (process.getuid?.() !== 0) return context.skip('mounting needs root')
    let mounted = ''
    const unmount = (): void => void (mounted === '' || tool('umount', '-l', mounted))
    cleanups.push(unmount)
    let ballast = ''
    const served = await serve(always(200, {}, 'ok'), {
      prepare(house) {
        mkdirSync(house.home, { mode: 0o700 })
        if (!tool('mount', '-t', 'tmpfs', '-o', 'size=24m,mode=700', 'keyward', house.home)) return
        mounted = house.home
        own(house.home)
        ballast = join(house.home, 'ballast')
      },
    })
    // Before the folder is removed, and should the start have failed as well.
    cleanups.push(() => served.close(), unmount)
    if (mounted === '') return context.skip('nothing may be mounted here')
    await fillsUp(
      served,
      () => fillUp(ballast),
      () => rmSync(ballast),
    )
  })
})

/** A disk that takes a write and does not come back from it: fsfreeze(8) on a file system of its own. */
test.skipIf(!measurable)(
  'hung: refused within the deadline, and the gateway answers',
  { timeout: 60_000 },
  async (context) => {
    if (process.getuid?.() !== 0 || !hasTool('fsfreeze') || !hasTool('mkfs.ext4'))
      return context.skip('needs root, fsfreeze and mkfs.ext4')
    let mounted = ''
    const image = `/tmp/keyward-disk-${process.pid}`
    cleanups.push(() => rmSync(image, { force: true }))
    const unmount = (): void => {
      if (mounted === '') return
      tool('fsfreeze', '-u', mounted)
      tool('umount', '-l', mounted)
    }
    cleanups.push(unmount)
    const served = await serve(always(200, {}, 'ok'), {
      prepare(house) {
        writeFileSync(image, Buffer.alloc(64 * 1_048_576))
        mkdirSync(house.home, { mode: 0o700 })
        mkdirSync(join(house.home, 'journal'), { mode: 0o700 })
        if (!tool('mkfs.ext4', '-q', '-F', image) || !tool('mount', '-o', 'loop', image, join(house.home, 'journal')))
          return
        mounted = join(house.home, 'journal')
        for (const name of readdirSync(mounted)) rmSync(join(mounted, name), { recursive: true })
        own(house.home)
        own(mounted)
      },
    })
    // Before the folder is removed, and should the start have failed as well.
    cleanups.push(() => served.close(), unmount)
    if (mounted === '') return context.skip('nothing may be mounted here')
    const session = await served.session()
    const asking = stream(served, session)
    cleanups.push(() => asking.stop())
    await asking.until((all) => all.length > LANES * 2)
    expect(tool('fsfreeze', '-f', mounted)).toBe(true)
    const refused = await asking.until(
      (all) => all.filter(({ code }) => code === 'journal_unwritable').length > LANES * 4,
    )
    expect(Math.max(...refused.map(({ milliseconds }) => milliseconds))).toBeLessThan(REFUSED_WITHIN_MILLISECONDS)
    const arrived = served.upstream.got.length
    await asking.until((all) => all.length > LANES)
    expect(served.upstream.got.length).toBe(arrived)
    // It does not stand still with its disk.
    const startedAt = performance.now()
    const wire = await served.direct()
    wire.write('GET /s/nobody/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
    expect(header(await wire.answer(), 'keyward-error')).toBe('service_unknown')
    expect(performance.now() - startedAt).toBeLessThan(REFUSED_WITHIN_MILLISECONDS)
    wire.close()
    expect(tool('fsfreeze', '-u', mounted)).toBe(true)
    await expect.poll(() => asking.take().some(({ code }) => code === '200'), { timeout: 10_000 }).toBe(true)
    await asking.stop()
    const verified = await served.house.keyward(['journal', 'verify'])
    expect(verified.code, verified.out + verified.err).toBe(0)
  },
)
