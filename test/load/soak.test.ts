import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  inWaves,
  measurable,
  median,
  requestFields,
  requestText,
  serve,
  sizeOf,
  type LoadSession,
  type Served,
} from './served.ts'

/** Many requests, one after the other and side by side: memory and descriptors are where they were. */

const REQUESTS = sizeOf('KEYWARD_LOAD_REQUESTS', 20_000)
const WIDTH = 32
/** Requests until code, pools and heap have the size that they keep: V8 takes its time. */
const WARM = 40_000
const LOOKS = 80
/**
 * What the second half may have more than the first. A server that kept 2 KiB of each request would be
 * at 20 MiB with the usual number; with KEYWARD_LOAD_REQUESTS=1000000 one that kept 40 bytes.
 */
const GROWTH_MAXIMUM_BYTES = 16 * 1_024 * 1_024
const DESCRIPTORS_GROWTH_MAXIMUM = 8

let served: Served

beforeAll(async () => {
  if (!measurable) return
  served = await serve((_request, response, { body }) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ length: body.length, text: 'x'.repeat(900) }))
  })
})
afterAll(() => served?.close())

const BODY = JSON.stringify({ model: 'any', text: 'y'.repeat(900) })

function bytesOf(way: 'direct' | 'tunnel', session: LoadSession, index: number): string {
  const kind = index % 10
  // Some of them are refused: what is written about those must not stay either.
  if (kind === 0) return `${requestText(way, { ...session, placeholder: `wrong${index}` }, `/wrong/${index}`)}\r\n`
  if (kind < 4) return `${requestText(way, session, `/read/${index}?n=${index}`)}\r\n`
  const head = requestText(way, session, `/write/${index}`, 'POST')
  return `${head}Content-Type: application/json\r\nContent-Length: ${BODY.length}\r\nX-Request: ${index}\r\n\r\n${BODY}`
}

interface Asker {
  /** Gives the status of the answer. */
  ask(index: number): Promise<number>
  close(): void
}

/** One connection that carries one request after the other: straight, through a tunnel, or over HTTP/2 in one. */
async function askerOf(lane: number, session: LoadSession): Promise<Asker> {
  if (lane % 4 === 3) {
    const wire = await served.tunnelH2(session)
    return {
      async ask(index) {
        const who = index % 10 === 0 ? { ...session, placeholder: `wrong${index}` } : session
        const writes = index % 10 >= 4
        const fields = requestFields(who, `/h2/${index}`, writes ? 'POST' : 'GET')
        return (await wire.request(fields, writes ? BODY : undefined)).status
      },
      close: () => wire.close(),
    }
  }
  const way = lane % 4 === 2 ? 'tunnel' : 'direct'
  const wire = way === 'direct' ? await served.direct() : await served.tunnel(session)
  return {
    async ask(index) {
      wire.write(bytesOf(way, session, index))
      return (await wire.answer()).status
    },
    close: () => wire.close(),
  }
}

test.skipIf(!measurable)(
  `${REQUESTS} requests: memory and descriptors stay`,
  { timeout: Math.max(240_000, REQUESTS * 6) },
  async () => {
    const session = await served.session()
    const askers = await Promise.all(Array.from({ length: WIDTH }, (_, lane) => askerOf(lane, session)))
    const memory: number[] = []
    const descriptors: number[] = []
    let done = 0
    let answered = 0
    const startedAt = performance.now()
    await inWaves(WIDTH, WIDTH, async (lane) => {
      for (;;) {
        const index = done
        if (index >= WARM + REQUESTS) return
        done += 1
        const status = await askers[lane]?.ask(index)
        if (status === 200) answered += 1
        else expect(status).toBeGreaterThanOrEqual(400)
        if (index >= WARM && (index - WARM) % Math.ceil(REQUESTS / LOOKS) === 0) {
          memory.push(served.memory())
          descriptors.push(served.descriptors())
        }
      }
    })
    const took = performance.now() - startedAt
    expect(answered).toBe(WARM + REQUESTS - Math.ceil((WARM + REQUESTS) / 10))
    const half = Math.floor(memory.length / 2)
    const growth = median(memory.slice(half)) - median(memory.slice(0, half))
    const more = median(descriptors.slice(half)) - median(descriptors.slice(0, half))
    const mebibytes = (bytes: number): number => Math.round(bytes / 104_857.6) / 10
    console.log(
      `${REQUESTS} requests at ${Math.round(((WARM + REQUESTS) / took) * 1_000)}/s: ${mebibytes(median(memory))} MiB, second half ${mebibytes(growth)} MiB more, ${more} descriptors more`,
    )
    expect(growth).toBeLessThan(GROWTH_MAXIMUM_BYTES)
    expect(more).toBeLessThanOrEqual(DESCRIPTORS_GROWTH_MAXIMUM)
    for (const asker of askers) asker.close()
    await expect.poll(served.descriptors, { timeout: 10_000 }).toBeLessThan(120)
  },
)
