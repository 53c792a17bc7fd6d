import { appendFileSync, readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { TLSSocket, connect as connectTls } from 'node:tls'
import { createAuthority, type Authority } from '../../../fakes/authority.ts'

export interface Relay {
  readonly port: number
  /** PEM text of the authority that the client must trust. */
  readonly certificate: string
}

/**
 * Stands between a client and the gateway, inside the client's own boundary, and writes down in `out`
 * every byte that the client sends and receives, TLS taken off. Toward the gateway it is a client that
 * verifies Keyward's certificate. Where the gateway refuses a tunnel, it plays a host that knows
 * nothing, so as to hear what the client would have told that host. Listens on a port with as many
 * digits as the gateway's, so that the port can be exchanged in place.
 */
export async function startRelay(gateway: { host: string; port: number }, trust: string, out: string): Promise<Relay> {
  const authority = await createAuthority('Keyward test relay')
  let count = 0
  const server = createServer((client) => {
    count += 1
    const number = count
    const record: Recorder = {
      sent: (bytes) => appendFileSync(join(out, `sent.${number}`), bytes),
      received: (bytes) => appendFileSync(join(out, `received.${number}`), bytes),
    }
    serve(client, gateway, server, { authority, trust: readFileSync(trust, 'utf8'), record })
  })
  const port = await listen(server, String(gateway.port).length)
  return { port, certificate: authority.certificate }
}

interface Recorder {
  sent(bytes: Buffer): void
  received(bytes: Buffer): void
}

interface Means {
  readonly authority: Authority
  readonly trust: string
  readonly record: Recorder
}

function serve(client: Socket, gateway: { host: string; port: number }, server: Server, means: Means): void {
  const upstream = connect(gateway.port, gateway.host)
  client.on('error', () => upstream.destroy())
  upstream.on('error', () => client.destroy())
  client.once('data', (first) => {
    const target = /^CONNECT ([^:\s]+):\d+ /.exec(first.toString('latin1'))?.[1]
    if (target === undefined) {
      plain(client, upstream, first, `${gateway.host}:${gateway.port}`, ownAddress(server), means.record)
      return
    }
    client.pause()
    means.record.sent(first)
    upstream.write(first)
    upstream.once('data', (reply) => {
      means.record.received(reply)
      const head = reply.toString('latin1')
      if (head.startsWith('HTTP/1.1 200')) {
        client.write(reply)
        void tunnel(client, upstream, target, means).catch(() => client.destroy())
      } else if (head.startsWith('HTTP/1.1 403')) {
        upstream.destroy()
        client.write('HTTP/1.1 200 OK\r\n\r\n')
        void playHost(client, target, means).catch(() => client.destroy())
      } else {
        client.write(reply)
        end(client, upstream)
        upstream.pipe(client)
        client.resume()
      }
    })
  })
}

/** Plays a host that knows nothing: writes down each request and answers 404. */
async function playHost(client: Socket, host: string, { authority, record }: Means): Promise<void> {
  const leaf = await authority.issue([host])
  const inner = new TLSSocket(client, { isServer: true, key: leaf.key, cert: leaf.cert, ALPNProtocols: ['http/1.1'] })
  inner.on('error', () => client.destroy())
  const nobody = createHttpServer((request, response) => {
    record.sent(Buffer.from(`${request.method ?? ''} ${request.url ?? ''}\n${request.rawHeaders.join('\n')}\n\n`))
    request.on('data', (bytes: Buffer) => record.sent(bytes))
    request.on('end', () =>
      response.writeHead(404, { 'content-type': 'application/json', connection: 'close' }).end('{}'),
    )
  })
  nobody.emit('connection', inner)
}

/** A tunnel's TLS, opened on both sides. */
async function tunnel(
  client: Socket,
  upstream: Socket,
  host: string,
  { authority, trust, record }: Means,
): Promise<void> {
  const leaf = await authority.issue([host])
  const outer = connectTls({ socket: upstream, servername: host, ca: trust, ALPNProtocols: ['http/1.1'] })
  const inner = new TLSSocket(client, { isServer: true, key: leaf.key, cert: leaf.cert, ALPNProtocols: ['http/1.1'] })
  end(inner, outer)
  splice(inner, outer, record, (bytes) => bytes)
}

function plain(client: Socket, upstream: Socket, first: Buffer, gateway: string, own: string, record: Recorder): void {
  const exchange = (bytes: Buffer): Buffer => Buffer.from(bytes.toString('latin1').replaceAll(own, gateway), 'latin1')
  end(client, upstream)
  record.sent(first)
  upstream.write(exchange(first))
  splice(client, upstream, record, exchange)
}

function splice(client: Socket, upstream: Socket, record: Recorder, change: (bytes: Buffer) => Buffer): void {
  client.on('data', (bytes: Buffer) => {
    record.sent(bytes)
    upstream.write(change(bytes))
  })
  upstream.on('data', (bytes: Buffer) => {
    record.received(bytes)
    client.write(bytes)
  })
}

function end(one: Socket, other: Socket): void {
  one.on('error', () => other.destroy())
  other.on('error', () => one.destroy())
  one.on('close', () => other.end())
  other.on('end', () => one.end())
  other.on('close', () => one.end())
}

function ownAddress(server: Server): string {
  const address = server.address()
  return address === null || typeof address === 'string' ? '' : `127.0.0.1:${address.port}`
}

async function listen(server: Server, digits: number): Promise<number> {
  for (;;) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const port = Number(ownAddress(server).split(':')[1])
    if (String(port).length === digits) return port
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
}
