import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Server, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Leaf } from './authority.ts'
import { answerEcho } from './echo.ts'

/** A request as the vendor's code sees it. */
export interface Call {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  /** The body as a JSON object; empty when it is not one. */
  readonly json: Readonly<Record<string, unknown>>
}

/** What the vendor answers. A list of pieces is sent as a stream, one write each. */
export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | Buffer | readonly string[]
}

/** One vendor's behaviour, as data and pure functions. */
export interface VendorRules {
  readonly name: string
  /** The key that the request presents in any place that the vendor reads, or null. */
  presented(call: Call): string | null
  /** The vendor's own answer to a wrong key, or (null) to none. */
  refuse(presented: string | null, call: Call): Answer
  /** The vendor's answer to a call whose key is right; null where there is no such endpoint. */
  answer(call: Call): Answer | null
  notFound(call: Call): Answer
}

/** A request that arrived, accepted or not. */
export interface Seen extends Call {
  readonly target: string
  readonly presented: string | null
  readonly accepted: boolean
  readonly status: number
}

export interface FakeVendor {
  readonly name: string
  readonly port: number
  /** `https://127.0.0.1:PORT`, or `http://…` without a leaf. */
  readonly origin: string
  readonly seen: readonly Seen[]
  /** Every byte that was written to clients, below TLS and above TCP: heads, chunk framing and bodies. */
  sent(): Buffer
  /** Hands the vendor a connection that was accepted (and decrypted) elsewhere. */
  adopt(socket: Socket): void
  close(): Promise<void>
}

export interface VendorOptions {
  /** The real key, made at run time by the test. */
  readonly key: string
  /** Serve TLS with this leaf; plain HTTP without. */
  readonly leaf?: Leaf
}

const requestLimitBytes = 32 * 1024 * 1024
const recordLimitBytes = 256 * 1024 * 1024

/** Starts a fake vendor on a free loopback port. It checks keys, records requests and all bytes sent. */
export async function startVendor(rules: VendorRules, options: VendorOptions): Promise<FakeVendor> {
  const seen: Seen[] = []
  const written: Buffer[] = []
  let writtenBytes = 0
  const sockets = new Set<Socket>()

  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    void handle(request, response).catch((error: unknown) =>
      response.destroy(error instanceof Error ? error : undefined),
    )
  }
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const call = await readCall(request)
    const presented = rules.presented(call)
    const accepted = presented === options.key
    const answer = accepted
      ? (answerEcho(call) ?? rules.answer(call) ?? rules.notFound(call))
      : rules.refuse(presented, call)
    seen.push({ ...call, target: request.url ?? '', presented, accepted, status: answer.status })
    send(response, answer)
  }
  const observe = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    const write = socket.write.bind(socket)
    socket.write = (chunk: Uint8Array | string, ...rest: readonly unknown[]): boolean => {
      const bytes =
        typeof chunk === 'string' ? Buffer.from(chunk, rest[0] === 'latin1' ? 'latin1' : 'utf8') : Buffer.from(chunk)
      writtenBytes += bytes.byteLength
      if (writtenBytes <= recordLimitBytes) written.push(bytes)
      return Reflect.apply(write, socket, [chunk, ...rest]) === true
    }
  }

  const plain = createHttpServer(onRequest)
  plain.on('connection', observe)
  const { leaf } = options
  const secure =
    leaf === undefined
      ? undefined
      : createHttpsServer({ key: leaf.key, cert: leaf.cert, ALPNProtocols: ['http/1.1'] }, onRequest)
  secure?.on('secureConnection', (socket: TLSSocket) => observe(socket))
  secure?.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  secure?.on('tlsClientError', () => undefined)
  const server: Server = secure ?? plain
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the fake vendor has no port')
  return {
    name: rules.name,
    port: address.port,
    origin: `${leaf === undefined ? 'http' : 'https'}://127.0.0.1:${address.port}`,
    seen,
    sent: () => Buffer.concat(written),
    adopt: (socket) => void plain.emit('connection', socket),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** A JSON answer. */
export function jsonAnswer(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
}

/** The token of an `Authorization: Bearer` header, or null. */
export function bearerOf(call: Call): string | null {
  return /^Bearer (\S+)$/i.exec(call.headers.authorization ?? '')?.[1] ?? null
}

/** One value of a header that a client may send once; null when it is absent or repeated. */
export function headerOf(call: Call, name: string): string | null {
  const value = call.headers[name]
  return typeof value === 'string' ? value : null
}

async function readCall(request: IncomingMessage): Promise<Call> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.byteLength
    if (bytes > requestLimitBytes) throw new Error('the request is larger than a fake vendor takes')
    chunks.push(chunk)
  }
  const url = new URL(request.url ?? '/', 'http://vendor.invalid')
  const body = Buffer.concat(chunks)
  return {
    method: request.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    body,
    json: objectOf(body.toString('utf8')),
  }
}

function send(response: ServerResponse, answer: Answer): void {
  const { status, headers = {}, body } = answer
  if (typeof body === 'string' || Buffer.isBuffer(body)) {
    response.writeHead(status, { ...headers, 'content-length': String(Buffer.byteLength(body)) })
    response.end(body)
    return
  }
  response.writeHead(status, headers)
  for (const piece of body) response.write(piece)
  response.end()
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
