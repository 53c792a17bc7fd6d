import { connect as connectTcp, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'

/** What came back on one connection, TLS taken off: every byte, and the last answer read out of it. */
export interface RawAnswer {
  readonly bytes: Buffer
  readonly status: number
  /** Lower-case names; of a repeated header the last. */
  readonly headers: Readonly<Record<string, string>>
  /** As it was sent, without the transfer coding. */
  readonly body: Buffer
}

export interface RawRequest {
  readonly port: number
  readonly method?: string
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Opens a tunnel first: CONNECT with these credentials, TLS with this CA unless it is null. */
  readonly tunnel?: { readonly authority: string; readonly token: string; readonly ca: string | null }
  readonly onConnect?: (socket: Socket) => void
}

const PATIENCE_MILLISECONDS = 30_000

/** One HTTP/1.1 request written by hand, so that every byte of the answer can be searched. Rejects where the connection fails before any byte came. */
export async function rawRequest(options: RawRequest): Promise<RawAnswer> {
  const { port, method = 'GET', target, headers = {}, body = '', tunnel } = options
  const socket = connectTcp({ port, host: '127.0.0.1' })
  options.onConnect?.(socket)
  socket.setTimeout(PATIENCE_MILLISECONDS, () => socket.destroy(new Error('no answer in time')))
  const own: Record<string, string> = { host: `127.0.0.1:${port}`, connection: 'close', ...headers }
  if (body !== '' && own['transfer-encoding'] === undefined) own['content-length'] ??= String(Buffer.byteLength(body))
  const text = `${method} ${target} HTTP/1.1\r\n${Object.entries(own)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n${body}`
  let wire: Duplex = socket
  let greeting: Buffer = Buffer.alloc(0)
  if (tunnel !== undefined) {
    socket.write(
      `CONNECT ${tunnel.authority} HTTP/1.1\r\nhost: ${tunnel.authority}\r\n${proxyHeader(tunnel.token)}\r\n`,
    )
    greeting = await untilBlankLine(socket)
    if (!greeting.toString('latin1').startsWith('HTTP/1.1 200'))
      return read(Buffer.concat([greeting, await rest(socket)]))
    if (tunnel.ca !== null) {
      const secure = connectTls({ socket, ca: tunnel.ca, servername: tunnel.authority.replace(/:\d+$/, '') })
      await new Promise<void>((ready, failed) => secure.once('secureConnect', ready).once('error', failed))
      wire = secure
    }
  }
  wire.write(text)
  return read(await rest(wire), greeting)
}

/** `proxy-authorization`, as a program that honours HTTP_PROXY sends it. */
export function proxyHeader(token: string): string {
  return `proxy-authorization: Basic ${Buffer.from(`session:${token}`).toString('base64')}\r\n`
}

function untilBlankLine(socket: Socket): Promise<Buffer> {
  return new Promise((done, failed) => {
    let bytes: Buffer = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk])
      if (!bytes.includes('\r\n\r\n')) return
      socket.off('data', onData)
      socket.pause()
      done(bytes)
    }
    socket.on('data', onData)
    socket.once('error', failed)
    socket.once('close', () => done(bytes))
  })
}

function rest(wire: Duplex): Promise<Buffer> {
  return new Promise((done, failed) => {
    const pieces: Buffer[] = []
    const end = (): void => done(Buffer.concat(pieces))
    wire.on('data', (chunk: Buffer) => pieces.push(chunk))
    wire.once('error', (error) => (pieces.length > 0 ? end() : failed(error)))
    wire.once('close', end)
    wire.resume()
  })
}

function read(bytes: Buffer, before: Buffer = Buffer.alloc(0)): RawAnswer {
  const end = bytes.indexOf('\r\n\r\n')
  const lines = bytes.toString('latin1', 0, Math.max(0, end)).split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':')
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  const body = end < 0 ? Buffer.alloc(0) : bytes.subarray(end + 4)
  return {
    bytes: Buffer.concat([before, bytes]),
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(lines[0] ?? '')?.[1] ?? 0),
    headers,
    body: headers['transfer-encoding'] === 'chunked' ? unchunked(body) : body,
  }
}

function unchunked(bytes: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const line = bytes.indexOf('\r\n', at)
    const size = line < 0 ? 0 : Number.parseInt(bytes.toString('latin1', at, line), 16)
    if (!(size > 0)) break
    pieces.push(bytes.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
  return Buffer.concat(pieces)
}
