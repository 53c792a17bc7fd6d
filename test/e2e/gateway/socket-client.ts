import { Agent, type ClientRequest } from 'node:http'
import { connect as connectTcp, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { WebSocket, type ClientOptions, type RawData } from 'ws'
import { type Stage } from './harness.ts'
import { connectHead, proxyCredentials, type Door, type Held, type Login } from './requests.ts'

/** A WebSocket client of the `ws` package, as it is used through each door. */

export interface Dialled {
  readonly socket: WebSocket
  /** Resolves when it is open; rejects with what was answered instead. */
  readonly open: Promise<void>
  /** The next message. */
  next(): Promise<{ readonly data: Buffer; readonly binary: boolean }>
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
}

export interface DialOptions {
  readonly target?: string
  readonly protocols?: readonly string[]
  /** Instead of the placeholder in Authorization. */
  readonly headers?: Readonly<Record<string, string>>
  readonly client?: ClientOptions
}

export async function dialSocket(
  stage: Stage,
  door: Door,
  held: Held,
  login: Login,
  options: DialOptions = {},
): Promise<Dialled> {
  const target = options.target ?? '/socket'
  const headers = options.headers ?? { authorization: `Bearer ${login.placeholder(held)}` }
  const common: ClientOptions = { headers, ...options.client }
  const protocols = [...(options.protocols ?? [])]
  const through = {
    'base-url': async () =>
      new WebSocket(`ws://127.0.0.1:${stage.port}/s/${held.id}${target}`, protocols, { ...common }),
    absolute: async () =>
      new WebSocket(`ws://${held.host}${target}`, protocols, {
        ...common,
        agent: new AbsoluteAgent(stage.port, held.host, login.token),
      }),
    tunnel: async () => {
      const secure = await tunnelTo(stage, held.host, login)
      return new WebSocket(`wss://${held.host}${target}`, protocols, { ...common, createConnection: () => secure })
    },
  }[door]
  return follow(await through())
}

export function follow(socket: WebSocket): Dialled {
  const arrived: { data: Buffer; binary: boolean }[] = []
  const waiting: ((message: { data: Buffer; binary: boolean }) => void)[] = []
  socket.on('message', (data: RawData, binary: boolean) => {
    const message = { data: Buffer.isBuffer(data) ? data : Buffer.from(data as ArrayBuffer), binary }
    const next = waiting.shift()
    if (next === undefined) arrived.push(message)
    else next(message)
  })
  const open = new Promise<void>((done, fail) => {
    socket.once('open', () => done())
    socket.once('error', fail)
  })
  open.catch(() => undefined)
  socket.on('error', () => undefined)
  return {
    socket,
    open,
    next: () => {
      const first = arrived.shift()
      return first === undefined ? new Promise((done) => waiting.push(done)) : Promise.resolve(first)
    },
    closed: new Promise((done) => {
      socket.once('close', (code, reason) => done({ code, reason: reason.toString('utf8') }))
    }),
  }
}

/** The connection beneath a client's WebSocket, to write frames on that it would not. */
export function beneath(socket: WebSocket): Duplex {
  const inner: unknown = Reflect.get(socket, '_socket')
  if (!(inner instanceof Duplex)) throw new Error('ws keeps its socket elsewhere now.')
  return inner
}

/** What a client gets that speaks TLS through a CONNECT. */
export async function tunnelTo(stage: Stage, host: string, login: Login): Promise<Socket> {
  const raw = connectTcp(stage.port, '127.0.0.1')
  raw.write(connectHead(`${host}:443`, login.token))
  const answer = await new Promise<Buffer>((done) => raw.once('data', done))
  if (!answer.toString('latin1').startsWith('HTTP/1.1 200')) throw new Error('CONNECT was refused.')
  const secure = connectTls({ socket: raw, servername: host, ca: stage.app.caCertificate, ALPNProtocols: ['http/1.1'] })
  await new Promise<void>((done, fail) => secure.once('secureConnect', done).once('error', fail))
  return secure
}

/** Sends requests in absolute form, as clients do that were told of a proxy for plain HTTP. */
class AbsoluteAgent extends Agent {
  readonly #port: number
  readonly #host: string
  readonly #token: string

  constructor(port: number, host: string, token: string) {
    super()
    this.#port = port
    this.#host = host
    this.#token = token
  }

  addRequest(request: ClientRequest, options: object): void {
    request.path = `http://${this.#host}${request.path}`
    request.setHeader('proxy-authorization', proxyCredentials(this.#token))
    const add: unknown = Reflect.get(Agent.prototype, 'addRequest')
    if (typeof add !== 'function') throw new Error('This Node has another Agent.')
    Reflect.apply(add, this, [
      request,
      { ...options, host: '127.0.0.1', port: this.#port, createConnection: () => connectTcp(this.#port, '127.0.0.1') },
    ])
  }
}
