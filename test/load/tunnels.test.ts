import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { always } from '../e2e/gateway/upstream.ts'
import type { Wire } from '../e2e/gateway/wire.ts'
import { SESSION_INFLIGHT_MAXIMUM } from '../../src/gateway/inflight.ts'
import { inWaves, measurable, requestText, serve, sizeOf, type LoadSession, type Served } from './served.ts'

/** Promise 8 at the size of a busy machine: thousands of open tunnels, and one word ends them all. */

const WANTED = sizeOf('KEYWARD_LOAD_TUNNELS', 5_000)
/** What a process needs besides the tunnels: the connections to the service, files, sockets of its own. */
const SPARE_DESCRIPTORS = 500
/** TLS of the agent’s side, the codec and the tunnel’s own record: what one open tunnel may cost the server. */
const TUNNEL_MAXIMUM_BYTES = 96 * 1_024
const REVOKED_WITHIN_MILLISECONDS = 1_000
/** By the clock on the wall, where other tests run beside this one; left alone, an idle tunnel would stay for minutes. */
const PATIENCE_MILLISECONDS = 20_000
/** Tunnels of one session, with room for its other requests. */
const OF_ONE_SESSION = Math.floor(SESSION_INFLIGHT_MAXIMUM * 0.9)

let served: Served

beforeAll(async () => {
  if (measurable) served = await serve(always(200, {}, 'ok'))
})
afterAll(() => served?.close())

/** The hard limit: Node takes all of it for itself at its start. */
function descriptorsAllowed(process: number | 'self'): number {
  return Number(/^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync(`/proc/${process}/limits`, 'latin1'))?.[1])
}

test.skipIf(!measurable)(
  `${WANTED} tunnels at once: each carries a request, and a revocation ends all of them`,
  { timeout: Math.max(180_000, WANTED * 20) },
  async () => {
    const allowed = Math.min(descriptorsAllowed('self'), descriptorsAllowed(served.server.pid)) - SPARE_DESCRIPTORS
    const count = Math.min(WANTED, allowed)
    if (count < WANTED) console.warn(`Only ${count} of ${WANTED} tunnels: the descriptors allow no more.`)
    expect(count).toBeGreaterThanOrEqual(Math.min(WANTED, 500))
    const sessions: LoadSession[] = []
    while (sessions.length * OF_ONE_SESSION < count) sessions.push(await served.session())
    const ofTunnel = (index: number): LoadSession =>
      sessions[index % sessions.length] ?? { id: '', token: '', placeholder: '' }

    // Warm: what the first ones cost is not theirs.
    for (const session of sessions) (await served.tunnel(session)).close()
    const before = served.memory()
    const tunnels: Wire[] = []
    await inWaves(count, 64, async (index) => {
      const session = ofTunnel(index)
      const wire = await served.tunnel(session)
      tunnels.push(wire)
      wire.write(`${requestText('tunnel', session, `/${index}`)}\r\n`)
      expect((await wire.answer()).status).toBe(200)
    })
    expect(tunnels).toHaveLength(count)
    expect(served.descriptors()).toBeGreaterThanOrEqual(count)
    const each = (served.memory() - before) / count
    console.log(`${count} tunnels: ${Math.round(each / 102.4) / 10} KiB of resident memory each`)
    expect(each).toBeLessThan(TUNNEL_MAXIMUM_BYTES)
    // All of them still carry requests.
    await inWaves(count, 64, async (index) => {
      if (index % 50 !== 0) return
      const wire = tunnels[index]
      wire?.write(`${requestText('tunnel', ofTunnel(0), '/again')}\r\n`)
      expect([200, 403]).toContain((await wire?.answer())?.status)
    })

    const client = served.house.client()
    const [startedAt, worked] = [performance.now(), served.processorMilliseconds()]
    await Promise.all(sessions.map(({ id }) => client.call('DELETE /sessions/:id', { id }, {})))
    await Promise.all(tunnels.map(({ closed }) => closed))
    const [took, spent] = [performance.now() - startedAt, served.processorMilliseconds() - worked]
    console.log(`${count} tunnels revoked and ended in ${Math.round(took)} ms, ${spent} ms of them the server’s own`)
    // By the server's own time: a machine that runs other tests gives it, and this process, less than a core each.
    expect(spent).toBeLessThan(REVOKED_WITHIN_MILLISECONDS)
    expect(took).toBeLessThan(PATIENCE_MILLISECONDS)
    await expect.poll(served.descriptors, { timeout: 5_000 }).toBeLessThan(200)
    const after = await served.session()
    const wire = await served.tunnel(after)
    wire.write(`${requestText('tunnel', after)}\r\n`)
    expect((await wire.answer()).status).toBe(200)
    wire.close()
  },
)
