import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { createAnswerReader } from './answer-reader.ts'
import { NO_HTTP2, connectTo } from './connect.ts'
import type { Target } from './job.ts'

/** 1 KB of JSON goes out with each request, in the shape that AI gateways read. */
export function requestBody(stream: boolean): Buffer {
  return Buffer.from(JSON.stringify({ model: 'bench', messages: [{ role: 'user', content: 'x'.repeat(930) }], stream }))
}

/** One request's side of a line. `end` is called once, with what went wrong or null. */
export interface Caller {
  data(bytes: Buffer): void
  end(failure: string | null): void
}

/** A connection that takes requests. */
export interface Line {
  /** Requests that it takes at once. */
  readonly capacity: number
  readonly open: boolean
  send(caller: Caller): void
  close(): void
}

/** Streams that one HTTP/2 connection carries at once in these tests. */
const STREAMS_PER_CONNECTION = 32

export async function openLine(target: Target, body: Buffer): Promise<Line> {
  const socket = await connectTo(target)
  return target.protocol === 'http2' ? http2Line(target, socket, body) : http1Line(target, socket, body)
}

/** How many lines carry so many requests at once. */
export function linesFor(target: Target, concurrency: number): number {
  return target.protocol === 'http2' ? Math.ceil(concurrency / STREAMS_PER_CONNECTION) : concurrency
}

function http1Line(target: Target, socket: Socket, body: Buffer): Line {
  const head = [
    `POST ${target.path} HTTP/1.1`,
    `host: ${target.authority}`,
    ...target.headers.map(([name, value]) => `${name}: ${value}`),
    `content-length: ${body.length}`,
  ]
  const request = Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body])
  let caller: Caller | null = null
  let status = 0
  let open = true

  function finish(failure: string | null): void {
    const ended = caller
    caller = null
    ended?.end(failure)
  }
  const read = createAnswerReader({
    onHead: (answered) => void (status = answered),
    onBody: (bytes) => caller?.data(bytes),
    onEnd: () => finish(status === 200 ? null : `status ${status}`),
    onNonsense() {
      socket.destroy()
      finish('not an answer')
    },
  })
  socket.on('data', read)
  socket.on('error', () => undefined)
  socket.once('close', () => {
    open = false
    finish('connection closed')
  })
  socket.resume()
  return {
    capacity: 1,
    get open() {
      return open
    },
    send(next) {
      if (!open) return next.end('connection closed')
      caller = next
      socket.write(request)
    },
    close: () => void socket.destroy(),
  }
}

function http2Line(target: Target, socket: Socket, body: Buffer): Promise<Line> {
  const scheme = target.tls === null ? 'http' : 'https'
  const session: ClientHttp2Session = connectHttp2(`${scheme}://${target.authority}`, {
    createConnection: () => socket,
  })
  const headers = {
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: target.path,
    [constants.HTTP2_HEADER_AUTHORITY]: target.authority,
    ...Object.fromEntries(target.headers),
    'content-length': String(body.length),
  }
  let open = true
  session.on('error', () => undefined)
  session.once('close', () => void (open = false))
  const line: Line = {
    capacity: STREAMS_PER_CONNECTION,
    get open() {
      return open
    },
    send(caller) {
      if (!open) return caller.end('connection closed')
      let status = 0
      let ended = false
      const finish = (failure: string | null): void => {
        if (ended) return
        ended = true
        caller.end(failure)
      }
      const stream = session.request(headers)
      stream.once('response', (answer) => void (status = answer[':status'] ?? 0))
      stream.on('data', caller.data)
      stream.once('end', () => finish(status === 200 ? null : `status ${status}`))
      stream.once('error', () => finish('stream error'))
      stream.once('close', () => finish('stream closed'))
      stream.end(body)
    },
    close: () => void session.destroy(),
  }
  return new Promise((done, fail) => {
    session.once('remoteSettings', () => done(line))
    session.once('close', () => fail(new Error(NO_HTTP2)))
  })
}
