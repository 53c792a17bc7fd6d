import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KeywardError } from '../../src/core/errors.ts'
import { always } from '../e2e/gateway/upstream.ts'
import { own } from '../harness.ts'
import { fillUp, inWaves, measurable, requestText, serve, sizeOf, type LoadSession, type Served } from './served.ts'

/**
 * The store gone while requests run (promises 4 and 8): what is known goes on under the lease, which on one
 * machine is held for as long as the process lives; no change is acknowledged that would be lost.
 */

const GONE_MILLISECONDS = sizeOf('KEYWARD_LOAD_STORE_SECONDS', 4) * 1_000

let served: Served
let session: LoadSession

beforeAll(async () => {
  if (!measurable) return
  served = await serve(always(200, {}, 'ok'))
  session = await served.session()
})
afterAll(() => served?.close())

const paths = (): string[] => ['keyward.db', 'keyward.db-wal'].map((name) => join(served.house.home, name))
function takeAway(): void {
  for (const path of paths()) if (existsSync(path)) renameSync(path, `${path}.away`)
}
function giveBack(): void {
  for (const path of paths()) if (existsSync(`${path}.away`)) renameSync(`${path}.away`, path)
}

/** Requests from many connections for as long as the store is gone. Gives how often each status came. */
async function askFor(milliseconds: number, who: LoadSession): Promise<Map<number, number>> {
  const until = performance.now() + milliseconds
  const statuses = new Map<number, number>()
  await inWaves(16, 16, async (lane) => {
    const way = lane % 2 === 0 ? 'direct' : 'tunnel'
    const wire = way === 'direct' ? await served.direct() : await served.tunnel(who)
    do {
      wire.write(`${requestText(way, who, `/${lane}`)}\r\n`)
      const { status } = await wire.answer()
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      await new Promise((done) => setTimeout(done, 5))
    } while (performance.now() < until)
    wire.close()
  })
  return statuses
}

test.skipIf(!measurable)(
  'removed: known requests go on, changes are refused with their reason, and nothing is lost',
  { timeout: 60_000 + GONE_MILLISECONDS },
  async () => {
    takeAway()
    try {
      const asking = askFor(GONE_MILLISECONDS, session)
      const { keyward } = served.house
      for (const args of [
        ['agent', 'add', 'lost'],
        ['credential', 'suspend', 'load'],
        ['agent', 'suspend', 'load'],
        ['session', 'revoke', session.id],
      ]) {
        const outcome = await keyward(args)
        expect([outcome.code, outcome.err.includes('removed or replaced')], outcome.err).toEqual([1, true])
      }
      await expect(served.session()).rejects.toMatchObject({ code: 'store_unreadable' })
      expect((await keyward(['status'])).code).toBe(0)
      const statuses = await asking
      expect([...statuses.keys()]).toEqual([200])
      expect(statuses.get(200)).toBeGreaterThan(16)
    } finally {
      giveBack()
    }
    await served.house.expectDone(['agent', 'add', 'kept'])
    await served.house.expectDone(['credential', 'suspend', 'load'])
    expect([...(await askFor(1, session)).keys()]).toEqual([403])
    await served.house.expectDone(['credential', 'resume', 'load'])
    expect([...(await askFor(1, session)).keys()]).toEqual([200])
  },
)

test.skipIf(!measurable)(
  'a stranger’s lock: nobody else opens it while it serves, and it serves on',
  { timeout: 60_000 },
  async () => {
    const asking = askFor(1_500, session)
    expect(() => {
      const stranger = new DatabaseSync(paths()[0] ?? '', { timeout: 100 })
      try {
        stranger.exec('BEGIN EXCLUSIVE')
      } finally {
        stranger.close()
      }
    }).toThrow(/locked/)
    await served.house.expectDone(['agent', 'add', 'amid-the-lock'])
    expect([...(await asking).keys()]).toEqual([200])
  },
)

test.skipIf(!measurable)(
  'gone at the next start: it is not begun anew under a journal that knows better',
  { timeout: 60_000 },
  async () => {
    await served.server.stop()
    takeAway()
    const refused = await served.house.keyward(['up'])
    expect(refused.code, refused.err).not.toBe(0)
    expect(refused.err).toMatch(/neither empty nor a home|older than the journal|journal does not verify/)
    for (const path of paths()) expect(existsSync(path)).toBe(false)
    giveBack()
    for (const path of paths()) if (existsSync(path)) own(path)
    const again = await served.house.up()
    expect((await served.house.keyward(['agent', 'show', 'kept'])).code).toBe(0)
    expect((await served.house.keyward(['agent', 'show', 'lost'])).code).toBe(1)
    await again.stop()
  },
)

/** On file systems of their own, which only root may mount: that of the database fills up, that of the journal does not. */
test.skipIf(!measurable)(
  'without room: known requests go on, changes are refused with their reason',
  { timeout: 60_000 },
  async (context) => {
    if (process.getuid?.() !== 0) return context.skip('mounting needs root')
    const mounted: string[] = []
    const unmount = (): void => {
      for (const place of mounted.toReversed()) spawnSync('umount', ['-l', place], { stdio: 'ignore' })
    }
    let ballast = ''
    const cramped = await serve(always(200, {}, 'ok'), {
      prepare({ home }) {
        for (const place of [home, join(home, 'journal')]) {
          mkdirSync(place, { mode: 0o700 })
          const args = ['-t', 'tmpfs', '-o', 'size=16m,mode=700', 'keyward', place]
          if (spawnSync('mount', args, { stdio: 'ignore' }).status !== 0) return
          mounted.push(place)
          own(place)
        }
        ballast = join(home, 'ballast')
      },
    }).catch((error: unknown) => {
      unmount()
      throw error
    })
    try {
      if (mounted.length < 2) return context.skip('nothing may be mounted here')
      const who = await cramped.session()
      fillUp(ballast)
      const asked = async (): Promise<number> => {
        const wire = await cramped.direct()
        wire.write(`${requestText('direct', who, '/full')}\r\n`)
        const { status } = await wire.answer()
        wire.close()
        return status
      }
      // SQLite writes into what it has before it needs more room: change by change it comes to the end of it.
      const refused = await expect
        .poll(
          () =>
            cramped.house
              .client()
              .call(
                'POST /environments/:environment/agents',
                { environment: 'dev' },
                { name: `n${performance.now()}`.replace('.', '-') },
              )
              .then(
                () => '',
                (error: unknown) => (error instanceof KeywardError ? `${error.code} ${error.detail}` : String(error)),
              ),
          { timeout: 20_000, interval: 1 },
        )
        .toMatch(/^store_unreadable Its disk is full/)
        .then(() => true)
      expect(refused).toBe(true)
      expect(await asked()).toBe(200)
      expect((await cramped.house.keyward(['credential', 'suspend', 'load'])).code).toBe(1)
      expect(await asked()).toBe(200)
      rmSync(ballast)
      await cramped.house.expectDone(['credential', 'suspend', 'load'])
      expect(await asked()).toBe(403)
    } finally {
      unmount()
      await cramped.close()
    }
  },
)
