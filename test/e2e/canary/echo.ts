import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { WebSocketServer } from 'ws'
import { disguises } from './secrets.ts'

/** The worst upstream there is: it gives back everything that it heard, however it is asked to. */
export interface EchoUpstream {
  readonly port: number
  /** Method, target and headers of every request, as text. */
  readonly heard: string[]
  close(): void
}

const codings: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  br: (bytes) => brotliCompressSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
  gzip: (bytes) => gzipSync(bytes),
  zstd: (bytes) => zstdCompressSync(bytes),
}

/** What `GET /as/WAY` may ask for; each is one way for a secret to come back. */
export const ways = [
  ...Object.keys(disguises).map((name) => `form-${name.replaceAll(' ', '-')}`),
  ...Object.keys(codings),
  'twice-gzip',
  'unknown-coding',
  'broken-gzip',
  'headers',
  'cookie',
  'reason',
  'redirect',
  'early-hints',
  'trailers',
  'pieces',
  'events',
  'status-401',
  'status-500',
  'cut',
  'cut-before',
] as const

export async function startEcho(): Promise<EchoUpstream> {
  const heard: string[] = []
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (chunk: Buffer) => pieces.push(chunk))
    request.on('error', () => undefined)
    request.on('end', () => {
      const text = [request.method, request.url, ...request.rawHeaders, Buffer.concat(pieces).toString('latin1')].join(
        '\n',
      )
      heard.push(text)
      answer(request, response, text)
    })
  })
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, stream, early) => {
    heard.push([request.method, request.url, ...request.rawHeaders].join('\n'))
    sockets.once('headers', (headers) =>
      headers.push(`X-Heard: ${encodeURIComponent(request.headers.authorization ?? '')}`),
    )
    sockets.handleUpgrade(request, stream, early, (socket) => {
      socket.send(request.rawHeaders.join('\n'))
      for (const secret of secretsIn(request)) {
        for (const write of Object.values(disguises)) socket.send(write(secret))
        socket.send(Buffer.from(secret).subarray(0, 10), { fin: false })
        socket.send(Buffer.from(secret).subarray(10), { fin: true })
        // A part of a secret is none that could be recognised.
        if (secret.length <= 120) socket.ping(secret)
      }
      socket.close(
        1000,
        secretsIn(request).find((secret) => secret.length <= 120),
      )
      stream.end()
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    heard,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** The places where injectors write, decoded: what an upstream knows to be the key. */
function secretsIn(request: IncomingMessage): string[] {
  const { authorization = '' } = request.headers
  const [scheme, value = ''] = authorization.split(' ')
  const url = new URL(request.url ?? '/', 'http://upstream')
  const basic = Buffer.from(value, 'base64').toString()
  const known = [
    scheme === 'Basic' ? basic : value,
    ...(scheme === 'Basic' ? [basic.slice(basic.indexOf(':') + 1), basic.slice(0, basic.indexOf(':')), value] : []),
    String(request.headers['x-canary-key'] ?? ''),
    ...url.searchParams.values(),
    decodeURIComponent(/\/bot([^/]+)\//.exec(url.pathname)?.[1] ?? ''),
  ]
  return known.filter((one) => one.length >= 8)
}

function answer(request: IncomingMessage, response: ServerResponse, text: string): void {
  const way = /\/as\/([A-Za-z0-9-]+)/.exec(request.url ?? '')?.[1] ?? ''
  const secrets = secretsIn(request)
  const plain = { 'content-type': 'text/plain' }
  const all = `${text}\n${secrets.join('\n')}\n`
  const disguise = Object.entries(disguises).find(([name]) => `form-${name.replaceAll(' ', '-')}` === way)?.[1]
  if (disguise !== undefined) return void response.writeHead(200, plain).end(secrets.map(disguise).join('\n'))
  const coding = codings[way]
  if (coding !== undefined)
    return void response.writeHead(200, { ...plain, 'content-encoding': way }).end(coding(Buffer.from(all)))
  const [first = 'nothing'] = secrets
  const inHeader = Buffer.from(first)
    .toString('latin1')
    .replaceAll(/[\r\n]/g, ' ')
  switch (way) {
    case 'twice-gzip':
      return void response
        .writeHead(200, { ...plain, 'content-encoding': 'gzip, gzip' })
        .end(gzipSync(gzipSync(Buffer.from(all))))
    case 'unknown-coding':
      return void response.writeHead(200, { ...plain, 'content-encoding': 'x-rot13' }).end(all)
    case 'broken-gzip':
      return void response.writeHead(200, { ...plain, 'content-encoding': 'gzip' }).end(all)
    case 'headers':
      return void response
        .writeHead(200, {
          ...plain,
          'x-heard': inHeader,
          'x-base64': Buffer.from(first).toString('base64'),
          etag: `"${inHeader}"`,
        })
        .end(all)
    case 'cookie':
      return void response
        .writeHead(200, { ...plain, 'set-cookie': [`a=1`, `key=${encodeURIComponent(first)}; Path=/`] })
        .end()
    case 'reason':
      return void response.writeHead(200, `OK ${inHeader}`, plain).end(all)
    case 'redirect':
      return void response
        .writeHead(302, { location: `http://elsewhere.example.test/?key=${encodeURIComponent(first)}` })
        .end()
    case 'early-hints':
      response.writeEarlyHints({ link: '</a>; rel=preload', 'x-heard': inHeader })
      return void response.writeHead(200, plain).end(all)
    case 'trailers':
      response.writeHead(200, { ...plain, trailer: 'x-heard' })
      response.write(all)
      response.addTrailers({ 'x-heard': inHeader })
      return void response.end()
    case 'pieces':
    case 'events': {
      response.writeHead(200, { 'content-type': way === 'events' ? 'text/event-stream' : 'text/plain' })
      const whole = way === 'events' ? `data: ${JSON.stringify({ all })}\n\n` : all
      return writePieces(response, whole.match(/[^]{1,7}/g) ?? [])
    }
    case 'status-401':
    case 'status-500':
      return void response
        .writeHead(Number(way.slice(-3)), { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: `wrong key ${first}`, all }))
    case 'cut':
      response.writeHead(200, { ...plain, 'content-length': '100000' })
      response.write(all)
      return void setTimeout(() => response.destroy(), 20)
    case 'cut-before':
      return void response.destroy()
    default:
      return void response.writeHead(200, plain).end(all)
  }
}

/** One a turn, so that each becomes a chunk of its own. */
function writePieces(response: ServerResponse, pieces: readonly string[]): void {
  const [piece, ...rest] = pieces
  if (piece === undefined) return void response.end()
  response.write(piece)
  setImmediate(writePieces, response, rest)
}
