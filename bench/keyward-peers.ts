import { join } from 'node:path'
import { VERSION } from '../src/core/version.ts'
import { numberAt, textAt, type Ground, type Upstream } from './ground.ts'
import type { Target } from './load/job.ts'
import { FLOOR, FLOOR_HTTP2, FLOOR_TLS, PATH, clientHeaders, type Peer, type Started } from './peer.ts'
import { PROXY_CORE, pause, startNode, type Program } from './processes.ts'
import type { SessionFacts, Size, Wanted } from './servers/populate.ts'

/** Ten of each: what one developer or a small team has. */
export const SMALL: Size = { credentials: 10, agents: 10, grants: 20 }

/** An open home, as a process on the proxy's core. */
export interface KeywardServer {
  readonly program: Program
  readonly port: number
  /** PEM text of the authority whose leaves stand in the tunnels. */
  readonly authority: string
  readonly sessions: readonly SessionFacts[]
}

export interface KeywardWish {
  readonly size: Size
  readonly sessions: number
  readonly callers: number
}

/** Fills a home in one process and opens it in another, so that what is measured did not do the filling. */
export async function startKeyward(
  ground: Ground,
  upstream: Upstream,
  wish: KeywardWish = { size: SMALL, sessions: 1, callers: 1 },
): Promise<KeywardServer> {
  const home = await fillHome(ground, upstream, wish)
  return openHome(ground, home)
}

interface FilledHome {
  readonly home: string
  readonly wanted: Wanted
}

async function fillHome(ground: Ground, upstream: Upstream, wish: KeywardWish): Promise<FilledHome> {
  const wanted: Wanted = {
    ...wish,
    origins: { plain: `http://127.0.0.1:${upstream.plainPort}`, tls: `https://127.0.0.1:${upstream.tlsPort}` },
    secrets: ground.secrets,
    trust: ground.authority,
  }
  const filled = { home: join(ground.place('keyward'), 'home'), wanted }
  const { program } = await openHome(ground, filled)
  await program.stop()
  return filled
}

async function openHome(ground: Ground, filled: FilledHome): Promise<KeywardServer> {
  const program = startNode(PROXY_CORE, await ground.keyward(), [JSON.stringify(filled)], ['--expose-gc'])
  const facts = await program.answer()
  const port = numberAt(facts, 'port')
  return { program, port, authority: textAt(facts, 'authority'), sessions: sessionsIn(facts) }
}

function sessionsIn(facts: unknown): SessionFacts[] {
  const told: { sessions: SessionFacts[] } = JSON.parse(JSON.stringify(facts))
  return told.sessions
}

export function baseTarget(server: KeywardServer, session: SessionFacts): Target {
  return {
    port: server.port,
    tunnel: null,
    tls: null,
    protocol: 'http1',
    authority: `127.0.0.1:${server.port}`,
    path: `/s/bench${PATH}`,
    headers: clientHeaders(session.placeholders.plain),
  }
}

export function tunnelTarget(server: KeywardServer, session: SessionFacts): Target {
  const name = 'bench-tls.example.test'
  const authorization = `Basic ${Buffer.from(`${session.token}:`).toString('base64')}`
  return {
    port: server.port,
    tunnel: { authority: `${name}:443`, authorization },
    tls: { serverName: name, ca: server.authority },
    protocol: 'http1',
    authority: name,
    path: PATH,
    headers: clientHeaders(session.placeholders.tls),
  }
}

const doors: readonly (Pick<Peer, 'name' | 'direct' | 'floor'> & { target: typeof baseTarget })[] = [
  { name: 'Keyward, base URL', direct: 'direct', floor: FLOOR, target: baseTarget },
  {
    name: 'Keyward, base URL, HTTP/2',
    direct: 'direct',
    floor: FLOOR,
    target: (server, session) => ({ ...baseTarget(server, session), protocol: 'http2' }),
  },
  { name: 'Keyward, CONNECT', direct: 'direct, TLS', floor: FLOOR_TLS, target: tunnelTarget },
  {
    name: 'Keyward, CONNECT, HTTP/2',
    direct: 'direct, TLS',
    floor: FLOOR_HTTP2,
    target: (server, session) => ({ ...tunnelTarget(server, session), protocol: 'http2' }),
  },
]

export const keywardPeers: readonly Peer[] = doors.map(({ name, direct, floor, target }) => {
  /** The home of the last upstream: a second start opens it again, as a restart would. */
  let known: { upstream: Upstream; filled: FilledHome } | null = null
  return {
    name,
    direct,
    floor,
    missing: null,
    version: VERSION,
    streams: true,
    async start(ground, upstream): Promise<Started> {
      if (known?.upstream !== upstream)
        known = { upstream, filled: await fillHome(ground, upstream, { size: SMALL, sessions: 1, callers: 1 }) }
      const server = await openHome(ground, known.filled)
      const [session] = server.sessions
      if (session === undefined) throw new Error('the home has no session')
      let before = numberAt(await server.program.ask('status'), 'journalEntries')
      return {
        processId: server.program.processId,
        targets: [target(server, session)],
        stop: server.program.stop,
        async check(requests) {
          const after = await journaled(server, before + 2 * requests)
          const written = after - before
          before = after
          return written === 2 * requests ? null : `${written} journal entries for ${requests} requests`
        },
      }
    },
  }
})

/** Entries in the journal; outcomes are written after the answer, so it waits for them. */
async function journaled(server: KeywardServer, wanted: number): Promise<number> {
  const patience = performance.now() + 5_000
  for (;;) {
    const entries = numberAt(await server.program.ask('status'), 'journalEntries')
    if (entries >= wanted || performance.now() > patience) return entries
    await pause(20)
  }
}
