import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { createInterface } from 'node:readline'
import { STREAM_EVENTS, STREAM_FIRST_MILLISECONDS, STREAM_INTERVAL_MILLISECONDS } from '../stream-schedule.ts'

/**
 * The mock behind every proxy, plain and with TLS: takes a body, wants the real secret, gives 1 KB of JSON
 * or a stream of events on a fixed schedule. Counts what it answers; `requests` on a line asks for the count.
 */
const options: {
  behaviour: 'answer' | 'stream'
  answer: string
  files: { certificate: string; key: string }
  secrets: { plain: string; tls: string }
} = JSON.parse(process.argv[2] ?? '')
let requests = 0

function serve(secret: string): RequestListener {
  return (request, response) => {
    request.resume()
    request.once('end', () => {
      if (request.headers.authorization !== `Bearer ${secret}`) {
        response.writeHead(401, { 'content-length': 0 }).end()
        return
      }
      requests += 1
      if (options.behaviour === 'answer') answer(response)
      else stream(request, response)
    })
  }
}

function answer(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': options.answer.length })
  response.end(options.answer)
}

/** Each event is due at its own time from the start, so that one that is late does not delay the rest. */
function stream(request: IncomingMessage, response: ServerResponse): void {
  const startedAt = performance.now()
  let sent = 0
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  response.flushHeaders()
  const next = (): void => {
    if (request.socket.destroyed) return
    const at = Number(process.hrtime.bigint() / 1000n)
    response.write(
      `data: {"id":"bench","object":"chat.completion.chunk","n":${sent},"at":${at},"choices":[{"index":0,"delta":{"content":"a few words "},"finish_reason":null}]}\n\n`,
    )
    sent += 1
    if (sent === STREAM_EVENTS) response.end('data: [DONE]\n\n')
    else schedule()
  }
  function schedule(): void {
    const due = startedAt + STREAM_FIRST_MILLISECONDS + sent * STREAM_INTERVAL_MILLISECONDS
    setTimeout(next, Math.max(0, due - performance.now()))
  }
  schedule()
}

function listen(server: Server): Promise<number> {
  server.keepAliveTimeout = 600_000
  server.requestTimeout = 0
  return new Promise((done) => {
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
      const address = server.address()
      done(address !== null && typeof address === 'object' ? address.port : 0)
    })
  })
}

const { certificate, key } = options.files
const plainPort = await listen(createServer(serve(options.secrets.plain)))
const tlsPort = await listen(
  createSecureServer({ cert: readFileSync(certificate), key: readFileSync(key) }, serve(options.secrets.tls)),
)
console.log(JSON.stringify({ plainPort, tlsPort }))
createInterface(process.stdin).on('line', () => console.log(JSON.stringify({ requests })))
