import type { Socket } from 'node:net'
import type { HeaderPair } from '../../../src/core/request.ts'
import { startRawUpstream, type Upstream } from '../../e2e/gateway/upstream.ts'

/** A request as its bytes say, read without any HTTP library. */
export interface Recorded {
  readonly method: string
  readonly target: string
  /** Lower-case names. */
  readonly headers: readonly HeaderPair[]
  readonly body: Buffer
  /** False: the connection ended before the body did. */
  readonly whole: boolean
}

export interface Recorder {
  readonly upstream: Upstream
  readonly requests: readonly Recorded[]
  /** What arrived and is no request, by connection. Complete once the recorder is closed. */
  readonly strays: readonly string[]
}

/** What marks an answer of the recorder; nobody else sends it. */
export const RECORDER_HEADER = 'x-recorder'
const ANSWER = `HTTP/1.1 200 OK\r\n${RECORDER_HEADER}: yes\r\ncontent-length: 2\r\n\r\nok`
const ANSWER_TO_HEAD = `HTTP/1.1 200 OK\r\n${RECORDER_HEADER}: yes\r\ncontent-length: 2\r\n\r\n`

/** A service that takes every byte down and answers what is a request in the strictest sense; anything else is a stray. */
export async function startRecorder(): Promise<Recorder> {
  const requests: Recorded[] = []
  const strays: string[] = []
  const upstream = await startRawUpstream((socket) => listen(socket, requests, strays))
  return { upstream, requests, strays }
}

function listen(socket: Socket, requests: Recorded[], strays: string[]): void {
  let held: Buffer = Buffer.alloc(0)
  let stray = false
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk])
    while (!stray && held.length > 0) {
      const read = readRequest(held)
      if (read === null) return
      if (read === 'stray') {
        stray = true
        strays.push(held.toString('latin1').slice(0, 300))
        socket.destroy()
        return
      }
      requests.push(read.request)
      held = held.subarray(read.byteLength)
      socket.write(read.request.method === 'HEAD' ? ANSWER_TO_HEAD : ANSWER)
    }
  })
  socket.once('close', () => {
    if (stray || held.length === 0) return
    const head = readHead(held)
    if (head === null || head === 'stray') strays.push(held.toString('latin1').slice(0, 300))
    else
      requests.push({
        ...head.request,
        body: bodyIn(held.subarray(head.byteLength), head.request.headers),
        whole: false,
      })
  })
}

interface Read {
  readonly request: Recorded
  readonly byteLength: number
}

/** Null: more is needed. */
function readRequest(bytes: Buffer): Read | 'stray' | null {
  const head = readHead(bytes)
  if (head === null || head === 'stray') return head
  const { headers } = head.request
  const rest = bytes.subarray(head.byteLength)
  const lengths = headers.filter(([name]) => name === 'content-length')
  const codings = headers.filter(([name]) => name === 'transfer-encoding')
  if (lengths.length + codings.length > 1) return 'stray'
  if (codings.length === 1) {
    const end = endOfChunks(rest)
    if (codings[0]?.[1] !== 'chunked' || end === 'stray') return 'stray'
    if (end === null) return null
    return { request: { ...head.request, body: bodyIn(rest, headers) }, byteLength: head.byteLength + end }
  }
  const length = lengths[0]?.[1] ?? '0'
  if (!/^[0-9]+$/.test(length)) return 'stray'
  if (rest.length < Number(length)) return null
  return {
    request: { ...head.request, body: Buffer.from(rest.subarray(0, Number(length))) },
    byteLength: head.byteLength + Number(length),
  }
}

function readHead(bytes: Buffer): Read | 'stray' | null {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return bytes.length > 200_000 ? 'stray' : null
  const [line = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const match = /^([A-Z-]+) ([\x21-\x7e]+) HTTP\/1\.1$/.exec(line)
  const headers = lines.map((text) => /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)$/.exec(text))
  if (match === null || headers.includes(null)) return 'stray'
  return {
    request: {
      method: match[1] ?? '',
      target: match[2] ?? '',
      headers: headers.map((found) => [(found?.[1] ?? '').toLowerCase(), found?.[2] ?? ''] as const),
      body: Buffer.alloc(0),
      whole: true,
    },
    byteLength: end + 4,
  }
}

/** Offset behind the last chunk and its trailers. */
function endOfChunks(bytes: Buffer): number | 'stray' | null {
  for (let at = 0; ;) {
    const line = bytes.indexOf('\r\n', at)
    if (line < 0) return null
    const size = bytes.subarray(at, line).toString('latin1')
    if (!/^[0-9a-f]{1,8}$/i.test(size)) return 'stray'
    const length = Number.parseInt(size, 16)
    at = line + 2
    if (length === 0) {
      const end = bytes.subarray(at, at + 2).toString('latin1') === '\r\n' ? at : bytes.indexOf('\r\n\r\n', at) + 2
      return end < at ? null : end + 2
    }
    if (bytes.length < at + length + 2) return null
    if (bytes.subarray(at + length, at + length + 2).toString('latin1') !== '\r\n') return 'stray'
    at += length + 2
  }
}

/** The body so far, its transfer coding undone. */
function bodyIn(bytes: Buffer, headers: readonly HeaderPair[]): Buffer {
  if (!headers.some(([name]) => name === 'transfer-encoding')) return Buffer.from(bytes)
  const pieces: Buffer[] = []
  for (let at = 0; ;) {
    const line = bytes.indexOf('\r\n', at)
    const length = line < 0 ? 0 : Number.parseInt(bytes.subarray(at, line).toString('latin1'), 16)
    if (!(length > 0)) return Buffer.concat(pieces)
    pieces.push(bytes.subarray(line + 2, line + 2 + length))
    at = line + 2 + length + 2
  }
}
