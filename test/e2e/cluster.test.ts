import { randomBytes } from 'node:crypto'
import { createServer, type Server as Upstream } from 'node:http'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import process from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { filesUnder, openHouse, serviceYaml } from '../harness.ts'
import type { House, Server } from '../harness.ts'
import { startPostgres, withoutPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'

const PATIENCE_MILLISECONDS = 30_000
/** Promise 8. */
const SECOND = 1_000
/** Ways to take a right away, in turn; a hundred in all unless told otherwise. */
const ROUNDS = Number(process.env['KEYWARD_SUSPENSIONS'] ?? 100)
const names = ['a', 'b', 'c', 'd'] as const
type Name = (typeof names)[number]

interface Reached {
  readonly path: string
  /** On the clock of this process, which is also that of the acknowledgements. */
  readonly at: number
}

const intentLine = z.looseObject({ event: z.looseObject({ kind: z.literal('intent') }) })

/** Four Keywards on one PostgreSQL, each a process with a home of its own, and requests through all of their gateways. */
describe.skipIf(withoutPostgres)('four nodes on one PostgreSQL', () => {
  let postgres: PostgresServer
  let upstream: Upstream
  let url = ''
  let placeholder = ''
  const key = `cluster-${randomBytes(24).toString('hex')}`
  const reached: Reached[] = []
  const houses = new Map<Name, House>()
  const servers = new Map<Name, Server>()
  const first = { environment: 'dev', name: 'first' }

  const house = (name: Name): House => houses.get(name) ?? fail(name)
  const server = (name: Name): Server => servers.get(name) ?? fail(name)
  const variables = (name: Name) => ({
    KEYWARD_DATABASE_URL: url,
    KEYWARD_NODE: name,
    ...(name === 'a' ? {} : { KEYWARD_ROOT_KEY_FILE: house('a').rootKeyFile }),
  })

  async function start(name: Name): Promise<void> {
    servers.set(name, await house(name).up({ variables: variables(name) }))
  }

  beforeAll(async () => {
    postgres = await startPostgres()
    url = await postgres.database()
    upstream = createServer((incoming, response) => {
      if (incoming.headers.authorization === `Bearer ${key}`)
        reached.push({ path: incoming.url ?? '', at: performance.now() })
      response.end('done')
    })
    await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
    const address = upstream.address()
    for (const name of names) houses.set(name, openHouse())
    for (const name of names) await start(name)
    const a = house('a')
    a.write('one.yaml', serviceYaml('one', typeof address === 'object' && address !== null ? address.port : 0))
    await a.expectDone(['service', 'add', 'one.yaml'])
    await a.expectDone(['credential', 'add', 'first', '--service', 'one', '--stdin'], { input: key })
    await a.expectDone(['agent', 'add', 'ada'])
    await a.expectDone(['grant', 'add', '--agent', 'ada', '--credential', 'first', '--allow', '*'])
    placeholder = (await issue('ada')).text
  })

  afterAll(async () => {
    for (const one of houses.values()) await one.close()
    upstream?.close()
    upstream?.closeAllConnections()
    await postgres?.close()
  })

  async function issue(agent: string): Promise<{ id: string; text: string }> {
    const issued = await house('a')
      .client()
      .call('POST /environments/:environment/sessions', { environment: 'dev' }, { agent, ttlSeconds: 3_600 })
    return { id: issued.id, text: issued.credentials[0]?.fields[0]?.text ?? '' }
  }

  /** One request through a node: its status and code, or 0 where the node is not there. */
  async function ask(name: Name, path: string, held = placeholder): Promise<{ status: number; code: string }> {
    try {
      const answer = await fetch(`http://127.0.0.1:${server(name).port}/s/one${path}`, {
        headers: { authorization: `Bearer ${held}` },
        signal: AbortSignal.timeout(PATIENCE_MILLISECONDS),
      })
      const text = await answer.text()
      return { status: answer.status, code: answer.status === 200 ? '' : String(JSON.parse(text).code) }
    } catch {
      return { status: 0, code: '' }
    }
  }

  async function until(name: Name, status: number, held = placeholder): Promise<void> {
    await expect
      .poll(async () => (await ask(name, `/n/${name}/until`, held)).status, {
        timeout: PATIENCE_MILLISECONDS,
        interval: 5,
      })
      .toBe(status)
  }

  /** Asks without a pause, each request with a path of its own, until it is stopped; gives what was answered. */
  function traffic(name: Name, held = placeholder, lanes = 2) {
    const ending = new AbortController()
    const answers: { path: string; status: number; code: string; asked: number }[] = []
    const label = randomBytes(4).toString('hex')
    const running = Array.from({ length: lanes }, async (_, lane) => {
      for (let at = 0; !ending.signal.aborted; at += 1) {
        const path = `/n/${name}/${label}-${lane}-${at}`
        const asked = performance.now()
        const { status, code } = await ask(name, path, held)
        answers.push({ path, status, code, asked })
        await wait(status === 0 ? 50 : 2)
      }
    })
    return {
      answers,
      async stop() {
        ending.abort()
        await Promise.all(running)
      },
    }
  }

  const reachedBy = (name: Name): Reached[] => reached.filter(({ path }) => path.startsWith(`/n/${name}/`))

  /** Every request of which the node’s journal has an intent. */
  function intentsOf(name: Name): string {
    return filesUnder(join(house(name).home, 'journal', name))
      .filter(({ path }) => path.endsWith('.jsonl'))
      .flatMap(({ bytes }) => bytes.toString().split('\n'))
      .filter((line) => line.includes('"intent"') && intentLine.safeParse(JSON.parse(line)).success)
      .join('\n')
  }

  test(
    'promises 4 and 8: one is killed and one sleeps through a suspension, under requests on all',
    { timeout: 120_000 },
    async () => {
      for (const name of names) await until(name, 200)
      const running = names.map((name) => traffic(name))
      await wait(1_000)
      await server('c').kill('SIGKILL')
      await wait(300)
      process.kill(server('d').pid, 'SIGSTOP')
      await wait(300)
      await house('a').client().call('POST /environments/:environment/credentials/:name/suspend', first, {})
      const acknowledged = performance.now()
      await wait(1_500)
      // Longer than its lease: what it knew when it fell asleep counts for nothing now.
      process.kill(server('d').pid, 'SIGCONT')
      await until('d', 403)
      await wait(500)
      const late = reached.filter(({ at }) => at > acknowledged + SECOND)
      expect(late).toEqual([])
      expect(reachedBy('d').filter(({ at }) => at > acknowledged)).toEqual([])
      for (const name of ['a', 'b'] as const) expect((await ask(name, '/refused')).code).toBe('credential_suspended')
      await house('b').client().call('POST /environments/:environment/credentials/:name/resume', first, {})
      for (const name of ['a', 'b', 'd'] as const) await until(name, 200)
      await start('c')
      await until('c', 200)
      await wait(500)
      for (const one of running) await one.stop()

      const counts: Record<string, number> = {}
      for (const name of names) {
        const intents = intentsOf(name)
        const seen = reachedBy(name)
        counts[name] = seen.length
        expect(seen.length, name).toBeGreaterThan(10)
        const unrecorded = seen.filter(({ path }) => !intents.includes(`${path}"`))
        expect(unrecorded, `requests of ${name} that its journal does not know`).toEqual([])
        // Nothing that another node sent is in it.
        for (const other of names) if (other !== name) expect(intents).not.toContain(`/n/${other}/`)
      }
      const sleeper = running[names.indexOf('d')]?.answers ?? []
      expect(new Set(sleeper.map(({ status }) => status))).toEqual(new Set([200, 403, 503]))
      console.info(`requests that reached the service, by node: ${JSON.stringify(counts)}`)
    },
  )

  test('every node is in the list, as what it is, and the one that is gone as gone', { timeout: 60_000 }, async () => {
    await server('c').stop()
    await expect
      .poll(async () => (await house('a').client().call('GET /nodes', {}, {})).map(({ name, live }) => [name, live]), {
        timeout: PATIENCE_MILLISECONDS,
      })
      .toEqual([
        ['a', true],
        ['b', true],
        ['c', false],
        ['d', true],
      ])
    expect(await house('b').expectDone(['node', 'list'])).toMatch(/^b \(this one\)\s+running/m)
    expect(await house('b').expectDone(['status'])).toContain('b, of 3')
    const refused = await house('a').keyward(['node', 'remove', 'b'])
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('The node is running.')])
    await house('a').expectDone(['node', 'remove', 'c'])
    expect(await house('a').expectDone(['node', 'list'])).not.toMatch(/^c /m)
    await start('c')
    await until('c', 200)
  })

  test(
    `promise 8: what is taken away at one node is refused at another within a second, ${ROUNDS} times`,
    { timeout: 300_000 },
    async () => {
      const client = house('a').client()
      const path = { environment: 'dev' }
      await client.call('POST /environments/:environment/agents', path, { name: 'bea' })
      const grant = async (): Promise<string> =>
        (
          await client.call('POST /environments/:environment/grants', path, {
            agent: 'bea',
            credential: 'first',
            allow: ['*'],
          })
        ).id
      let grantId = await grant()
      let session = await issue('bea')
      const bea = { environment: 'dev', name: 'bea' }
      const ways = {
        credential: {
          take: () => client.call('POST /environments/:environment/credentials/:name/suspend', first, {}),
          give: () => client.call('POST /environments/:environment/credentials/:name/resume', first, {}),
        },
        agent: {
          take: () => client.call('POST /environments/:environment/agents/:name/suspend', bea, {}),
          give: () => client.call('POST /environments/:environment/agents/:name/resume', bea, {}),
        },
        session: {
          take: () => client.call('DELETE /sessions/:id', { id: session.id }, {}),
          give: async () => void (session = await issue('bea')),
        },
        grant: {
          take: () => client.call('DELETE /grants/:id', { id: grantId }, {}),
          give: async () => void (grantId = await grant()),
        },
      } as const
      const delays: { way: string; milliseconds: number }[] = []
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const [way, { take, give }] of Object.entries(ways).slice(round % 4, (round % 4) + 1)) {
          await until('b', 200, session.text)
          const running = traffic('b', session.text, 4)
          await wait(30 + (round % 7) * 5)
          await take()
          const acknowledged = performance.now()
          await expect
            .poll(() => running.answers.slice(-4).every(({ status }) => status >= 400), {
              timeout: PATIENCE_MILLISECONDS,
              interval: 5,
            })
            .toBe(true)
          await running.stop()
          const last = Math.max(acknowledged, ...reachedBy('b').map(({ at }) => at))
          delays.push({ way, milliseconds: last - acknowledged })
          await give()
        }
      }
      const sorted = delays.map(({ milliseconds }) => milliseconds).toSorted((x, y) => x - y)
      const at = (part: number): string => (sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0).toFixed(1)
      console.info(
        `acknowledged at one node -> last request that another sent: ${sorted.length} times, median ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`,
      )
      expect(delays.filter(({ milliseconds }) => milliseconds > SECOND)).toEqual([])
    },
  )

  test(
    'promise 5: a row that is put back between nodes is found by the next that reads it',
    { timeout: 60_000 },
    async () => {
      await server('c').stop()
      await postgres.run("CREATE TABLE public.kept AS SELECT * FROM record WHERE tbl = 'agent'", url)
      await house('a').expectDone(['agent', 'suspend', 'ada'])
      await postgres.run("CREATE TABLE public.genuine AS SELECT * FROM record WHERE tbl = 'agent'", url)
      await postgres.run("DELETE FROM record WHERE tbl = 'agent'; INSERT INTO record SELECT * FROM kept", url)
      const refused = await house('c').keyward(['up'], { variables: variables('c') })
      expect(refused.err).toContain('A record was changed behind Keyward’s back.')
      expect((await ask('b', '/n/b/refused')).code).toBe('agent_suspended')
      await postgres.run(
        "DELETE FROM record WHERE tbl = 'agent'; INSERT INTO record TABLE genuine; DROP TABLE kept, genuine",
        url,
      )
      await start('c')
      await house('c').expectDone(['agent', 'resume', 'ada'])
      for (const name of names) await until(name, 200)
    },
  )

  test('the journal of every node verifies, up to its last entry', { timeout: 60_000 }, async () => {
    for (const name of names) await server(name).stop()
    for (const name of names) {
      const report: unknown = JSON.parse(
        await house(name).expectDone(['journal', 'verify', '--json'], { variables: variables(name) }),
      )
      const { ok, entries, provenTo } = z
        .looseObject({ ok: z.boolean(), entries: z.int(), provenTo: z.int() })
        .parse(report)
      expect({ ok, unproven: entries - provenTo }, name).toEqual({ ok: true, unproven: 0 })
    }
  })
})

function fail(name: string): never {
  throw new Error(`node ${name} does not run`)
}
