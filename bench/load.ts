import { connect, type Socket } from 'node:net'

/**
 * A closed-loop load on its own core: `connections` keep-alive sockets, each with one POST of 1 KB in
 * flight, for `seconds`. Reads answers by Content-Length or chunked framing and checks the status.
 * Prints one line of JSON: requests, errors, latencies in microseconds.
 *   node bench/load.ts PORT PATH BEARER CONNECTIONS SECONDS
 */
const [port, path, bearer, connections, seconds] = process.argv.slice(2)
const body = JSON.stringify({ model: 'bench', input: 'x'.repeat(980) })
const request = Buffer.from(
  `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${bearer}\r\ncontent-type: application/json\r\naccept: application/json\r\nuser-agent: bench\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
)
const latencies: number[] = []
let requests = 0
let errors = 0
const endAt = performance.now() + Number(seconds) * 1000

await Promise.all(Array.from({ length: Number(connections) }, drive))
latencies.sort((left, right) => left - right)
const at = (share: number): number =>
  Math.round(latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0)
console.log(JSON.stringify({ requests, errors, p50: at(0.5), p90: at(0.9), p99: at(0.99) }))

function drive(): Promise<void> {
  return new Promise((done) => {
    const socket: Socket = connect({ host: '127.0.0.1', port: Number(port), noDelay: true })
    let buffered = ''
    let sentAt = 0
    const send = (): void => {
      sentAt = performance.now()
      socket.write(request)
    }
    socket.setEncoding('latin1')
    socket.once('connect', send)
    socket.once('error', () => {
      errors += 1
      done()
    })
    socket.once('close', () => done())
    socket.on('data', (chunk: string) => {
      buffered += chunk
      const end = answerEnd(buffered)
      if (end < 0) return
      if (!buffered.startsWith('HTTP/1.1 200')) errors += 1
      buffered = buffered.slice(end)
      requests += 1
      const now = performance.now()
      latencies.push((now - sentAt) * 1000)
      if (now >= endAt) socket.destroy()
      else send()
    })
  })
}

function answerEnd(text: string): number {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd < 0) return -1
  const head = text.slice(0, headEnd)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)
  if (length !== null) {
    const end = headEnd + 4 + Number(length[1])
    return text.length >= end ? end : -1
  }
  const last = text.indexOf('\r\n0\r\n\r\n', headEnd + 2)
  return last < 0 ? -1 : last + 7
}
