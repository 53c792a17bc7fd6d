import { createServer, type Server as Upstream } from 'node:http'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { readFileSync, readdirSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KeywardError } from '../../src/core/errors.ts'
import { openHouse, serviceYaml } from '../harness.ts'
import type { House, Server } from '../harness.ts'

/**
 * Promise 4 through the whole product: the server is killed in the middle of a thousand requests and a
 * stream of control changes. What it acknowledged is there afterwards, and what left is written down.
 */

const REQUESTS = 1_000
const ROUNDS = 4
/** The moments are random; the seed makes a round that failed one that can be tried again. */
const seed = Number(process.env['KEYWARD_TEST_SEED'] ?? randomBytes(4).readUInt32LE())

let house: House
let server: Server
let upstream: Upstream
let upstreamPort = 0
const key = `crash-${randomBytes(24).toString('hex')}`
let held = ''
/** The path of each request that arrived with the real key. */
const reached = new Set<string>()
const wrongKeys: string[] = []

beforeAll(async () => {
  upstream = createServer((incoming, response) => {
    if (incoming.headers.authorization === `Bearer ${key}`) reached.add(incoming.url ?? '')
    else wrongKeys.push(incoming.headers.authorization ?? 'none')
    incoming.resume()
    setTimeout(() => response.end('done'), Math.random() * 20)
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const address = upstream.address()
  upstreamPort = typeof address === 'object' && address !== null ? address.port : 0
  house = openHouse()
  server = await house.up()
  house.write('crash.yaml', serviceYaml('crash', upstreamPort))
  await house.expectDone(['service', 'add', 'crash.yaml'])
  await house.expectDone(['credential', 'add', 'crash', '--service', 'crash', '--stdin'], { input: key })
  await house.expectDone(['agent', 'add', 'crash'])
  await house.expectDone(['grant', 'add', '--agent', 'crash', '--credential', 'crash', '--allow', '*'])
  const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
    await house.expectDone(['session', 'issue', '--agent', 'crash', '--ttl', '12h', '--json']),
  )
  held = issued.credentials[0]?.fields[0]?.text ?? ''
})

afterAll(async () => {
  await house.close()
  upstream.close()
  upstream.closeAllConnections()
})

/** A small generator (mulberry32), so that the moments follow from the seed. */
function randomFrom(start: number): () => number {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function send(agent: Agent, path: string): Promise<number | null> {
  return new Promise((done) => {
    const sent = request(
      {
        agent,
        host: '127.0.0.1',
        port: server.port,
        path: `/s/crash${path}`,
        headers: { authorization: `Bearer ${held}` },
      },
      (answer) => {
        answer.resume()
        answer.on('end', () => done(answer.statusCode ?? null))
        answer.on('error', () => done(null))
        answer.on('close', () => done(null))
      },
    )
    sent.on('error', () => done(null))
    sent.end()
  })
}

/** Makes agents and suspends some of them, one change after the other, until the server is gone. Gives what was acknowledged. */
async function change(round: number, lane: number): Promise<Map<string, 'active' | 'suspended'>> {
  const client = house.client()
  const acknowledged = new Map<string, 'active' | 'suspended'>()
  for (let count = 0; ; count += 1) {
    const name = `r${round}-l${lane}-${count}`
    try {
      await client.call('POST /environments/:environment/agents', { environment: 'dev' }, { name })
      acknowledged.set(name, 'active')
      if (count % 2 === 0) continue
      await client.call('POST /environments/:environment/agents/:name/suspend', { environment: 'dev', name }, {})
      acknowledged.set(name, 'suspended')
    } catch (error) {
      if (error instanceof KeywardError && error.code === 'server_unreachable') return acknowledged
      throw error
    }
  }
}

interface Entry {
  readonly event: { readonly kind: string; readonly path?: string }
}

function intents(): Set<string> {
  const folder = join(house.home, 'journal', 'node-1')
  const paths = new Set<string>()
  for (const name of readdirSync(folder).filter((one) => one.endsWith('.jsonl'))) {
    for (const line of readFileSync(join(folder, name), 'utf8').split('\n')) {
      if (!line.includes('"kind":"intent"')) continue
      const { event }: Entry = JSON.parse(line)
      if (event.path !== undefined) paths.add(event.path)
    }
  }
  return paths
}

test(
  `kill -9 among ${REQUESTS} concurrent requests and a stream of changes, ${ROUNDS} times (seed ${seed})`,
  { timeout: 300_000 },
  async () => {
    const random = randomFrom(seed)
    const all = new Map<string, 'active' | 'suspended'>()
    let sentTotal = 0
    for (let round = 0; round < ROUNDS; round += 1) {
      const before = reached.size
      const agent = new Agent({ keepAlive: true, maxSockets: REQUESTS })
      const changing = [0, 1, 2].map((lane) => change(round, lane))
      const answers = Array.from({ length: REQUESTS }, (_, index) => send(agent, `/${round}/${index}`))
      sentTotal += REQUESTS
      // By what has come through rather than by the clock: a slow machine is hit in the middle as well.
      const moment = Math.floor(random() * REQUESTS * 0.8) + 1
      await new Promise<void>((now) => {
        const look = setInterval(() => {
          if (reached.size - before < moment) return
          clearInterval(look)
          now()
        }, 1)
      })
      const ended = await server.kill('SIGKILL')
      expect(ended.signal).toBe('SIGKILL')
      const statuses = await Promise.all(answers)
      agent.destroy()
      // It was in the middle: some were answered or on their way, and some never were.
      expect(statuses.filter((status) => status === null).length, `round ${round}`).toBeGreaterThan(0)
      for (const acknowledged of await Promise.all(changing))
        for (const [name, state] of acknowledged) all.set(name, state)

      const offline = await house.keyward(['journal', 'verify'])
      expect(offline.code, offline.out + offline.err).toBe(0)
      server = await house.up()
      const verified = await house.keyward(['journal', 'verify'])
      expect(verified.code, verified.out + verified.err).toBe(0)

      const agents = new Map((await house.client().call('GET /agents', {}, {})).map((one) => [one.name, one.state]))
      const lost = [...all].filter(
        ([name, state]) =>
          agents.get(name) === undefined || (state === 'suspended' && agents.get(name) !== 'suspended'),
      )
      expect(lost, `round ${round}`).toEqual([])

      const written = intents()
      expect(
        [...reached].filter((path) => !written.has(path)),
        `round ${round}`,
      ).toEqual([])

      // The session survived as well, and the server serves again.
      const again = new Agent()
      expect(await send(again, `/${round}/again`)).toBe(200)
      again.destroy()
    }
    expect(wrongKeys).toEqual([])
    // How many changes get through beside the storm is the machine's affair; without any, nothing was shown.
    expect(all.size).toBeGreaterThan(0)
    expect(reached.size).toBeLessThan(sentTotal)
  },
)
