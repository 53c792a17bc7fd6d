import { closeSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import process from 'node:process'
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { startUpstream, type Handler, type Upstream } from '../e2e/gateway/upstream.ts'
import { h2WireOf, type Fields, type H2Wire } from '../e2e/gateway/h2-wire.ts'
import { wireOf, type Wire } from '../e2e/gateway/wire.ts'
import { openHouse, serviceYaml, type House, type Server } from '../harness.ts'

/** A session of one agent with the placeholder of the one credential. */
export interface LoadSession {
  readonly id: string
  readonly token: string
  readonly placeholder: string
}

/** A server process of its own with one service behind it, so that its memory is nobody else's. */
export interface Served {
  readonly house: House
  readonly server: Server
  readonly upstream: Upstream
  readonly caCertificate: string
  session(): Promise<LoadSession>
  /** A connection on which requests for `/…` of the service may be written: straight to the base URL, or through a tunnel with TLS. */
  direct(): Promise<Wire>
  tunnel(session: LoadSession): Promise<Wire>
  /** The same tunnel, with HTTP/2 inside; `deafen`: nothing more is read from it, whatever windows it has granted. */
  tunnelH2(session: LoadSession): Promise<H2Wire & { deafen(): void }>
  /** Resident memory in bytes. */
  memory(): number
  descriptors(): number
  /** Time on a processor that the server has had, user and system; to ten milliseconds. */
  processorMilliseconds(): number
  close(): Promise<void>
}

/** The kernel counts in hundredths of a second (proc_pid_stat(5), sysconf(_SC_CLK_TCK)). */
const TICK_MILLISECONDS = 10

export const HOST = 'load.example.test'

/** Counts what a test needs from the variable `name`, for a longer run than the usual one. */
export function sizeOf(name: string, usual: number): number {
  const wanted = Number(process.env[name] ?? usual)
  if (!Number.isSafeInteger(wanted) || wanted < 1) throw new Error(`${name} is no count`)
  return wanted
}

/** The kernel’s figures are read from /proc; elsewhere these tests say so and are skipped. */
export const measurable = process.platform === 'linux'

export interface ServeOptions {
  /** The service answers without waiting for the body. */
  readonly early?: boolean
  /** Told of the house before anything is in it. */
  readonly prepare?: (house: House) => void
}

export async function serve(handler: Handler, options: ServeOptions = {}): Promise<Served> {
  const upstream = await startUpstream(handler, { early: options.early ?? false })
  const house = openHouse()
  options.prepare?.(house)
  const server = await house.up()
  const client = house.client()
  house.write('load.yaml', serviceYaml('load', upstream.port))
  await house.expectDone(['service', 'add', 'load.yaml'])
  await house.expectDone(['credential', 'add', 'load', '--service', 'load', '--stdin'], {
    input: 'load-value-of-a-test',
  })
  await house.expectDone(['agent', 'add', 'load'])
  await house.expectDone(['grant', 'add', '--agent', 'load', '--credential', 'load', '--allow', '*'])
  let context: SecureContext | null = null
  let caCertificate = ''

  function dial(): Promise<Socket> {
    return new Promise((done, fail) => {
      const socket = connectTcp(server.port, '127.0.0.1', () => done(socket))
      socket.once('error', fail)
    })
  }

  async function secured({ token }: LoadSession, protocol: 'http/1.1' | 'h2'): Promise<TLSSocket> {
    context ??= createSecureContext({ ca: caCertificate })
    const socket = await dial()
    socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\nProxy-Authorization: Bearer ${token}\r\n\r\n`)
    await new Promise<void>((done, fail) => {
      socket.once('data', (bytes: Buffer) =>
        bytes.toString('latin1').startsWith('HTTP/1.1 200') ? done() : fail(new Error(bytes.toString('latin1'))),
      )
      socket.once('close', () => fail(new Error('the tunnel was closed')))
    })
    const secure = connectTls({ socket, servername: HOST, secureContext: context, ALPNProtocols: [protocol] })
    await new Promise<void>((done, fail) => secure.once('secureConnect', done).once('error', fail))
    secure.removeAllListeners('error')
    return secure
  }

  return {
    house,
    server,
    upstream,
    get caCertificate() {
      return caCertificate
    },
    async session() {
      const input = { agent: 'load', ttlSeconds: 12 * 3_600 }
      const issued = await client.call('POST /environments/:environment/sessions', { environment: 'dev' }, input)
      caCertificate = issued.caCertificate
      return { id: issued.id, token: issued.token, placeholder: issued.credentials[0]?.fields[0]?.text ?? '' }
    },
    direct: async () => wireOf(await dial()),
    tunnel: async (session) => wireOf(await secured(session, 'http/1.1')),
    async tunnelH2(session) {
      const socket = await secured(session, 'h2')
      return Object.assign(h2WireOf(socket), {
        deafen() {
          socket.pause()
          socket.resume = () => socket
        },
      })
    },
    memory: () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${server.pid}/status`, 'latin1'))?.[1]) * 1_024,
    processorMilliseconds() {
      const fields = readFileSync(`/proc/${server.pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
      return (Number(fields[11]) + Number(fields[12])) * TICK_MILLISECONDS
    },
    descriptors: () => readdirSync(`/proc/${server.pid}/fd`).length,
    async close() {
      await house.close()
      await upstream.close()
    },
  }
}

/** A request as it stands on a connection of this kind. */
export function requestText(way: 'direct' | 'tunnel', session: LoadSession, target = '/', more = 'GET'): string {
  const [line, host] = way === 'direct' ? [`/s/load${target}`, '127.0.0.1'] : [target, HOST]
  return `${more} ${line} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${session.placeholder}\r\n`
}

/** The same as the fields of an HTTP/2 stream inside a tunnel. */
export function requestFields(session: LoadSession, target: string, method = 'GET'): Fields {
  return [
    [':method', method],
    [':scheme', 'https'],
    [':authority', HOST],
    [':path', target],
    ['authorization', `Bearer ${session.placeholder}`],
  ]
}

export function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0
}

/** Runs `work` for each of `count` numbers, `width` at a time. */
export async function inWaves(count: number, width: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await work(index)
  }
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane))
}

/** Writes until there is no room, in ever smaller pieces. */
export function fillUp(path: string): void {
  const descriptor = openSync(path, 'w')
  for (let size = 1_048_576; size >= 1;) {
    try {
      if (writeSync(descriptor, Buffer.alloc(size)) < size) size = Math.floor(size / 4)
    } catch {
      size = Math.floor(size / 4)
    }
  }
  closeSync(descriptor)
}
