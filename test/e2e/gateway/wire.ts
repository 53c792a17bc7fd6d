import type { Duplex } from 'node:stream'

/** An answer as its bytes say, read without any HTTP library, so that nothing is repaired on the way. */
export interface Answer {
  readonly status: number
  readonly reason: string
  /** Names in lower case, in the order in which they came. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly trailers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  /** False: the connection ended before the body did. */
  readonly whole: boolean
  /** The head as it came. */
  readonly rawHead: string
}

export function header(answer: Pick<Answer, 'headers'>, name: string): string | undefined {
  return answer.headers.find(([key]) => key === name)?.[1]
}

/** Both directions of one connection: bytes are written as given, answers are read one after the other. */
export interface Wire {
  readonly socket: Duplex
  write(bytes: string | Uint8Array): void
  /** The next answer, whole; rejects when the connection ends before a head has come. */
  answer(options?: { readonly method?: string }): Promise<Answer>
  /** The head of the next answer; its body is then read by `more`. */
  head(): Promise<Pick<Answer, 'status' | 'headers'>>
  /** Bytes of the body as they came off the wire, framing included; null at the end of the connection. */
  more(): Promise<Buffer | null>
  /** Resolves once the other side has ended or broken the connection. */
  readonly closed: Promise<void>
  close(): void
}

const WAIT_MILLISECONDS = 15_000

export function wireOf(socket: Duplex): Wire {
  let held: Buffer = Buffer.alloc(0)
  let ended = false
  let wake: () => void = () => undefined
  const gone = Promise.withResolvers<void>()
  socket.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    wake()
  })
  const end = (): void => {
    ended = true
    gone.resolve()
    wake()
  }
  socket.on('end', end)
  socket.on('close', end)
  socket.on('error', end)

  /** Waits for more bytes; false once there will be none. */
  async function grow(): Promise<boolean> {
    if (ended) return false
    const before = held.length
    await new Promise<void>((done, fail) => {
      const timer = setTimeout(
        () =>
          fail(new Error(`Nothing came for ${WAIT_MILLISECONDS} ms; held: ${held.toString('latin1').slice(0, 300)}`)),
        WAIT_MILLISECONDS,
      )
      wake = () => {
        clearTimeout(timer)
        done()
      }
    })
    return held.length > before || !ended
  }

  function take(count: number): Buffer {
    const taken = held.subarray(0, count)
    held = held.subarray(count)
    return taken
  }

  async function until(mark: string): Promise<Buffer | null> {
    for (;;) {
      const at = held.indexOf(mark)
      if (at >= 0) return take(at + mark.length)
      if (!(await grow())) return null
    }
  }

  async function exactly(count: number): Promise<Buffer | null> {
    while (held.length < count) if (!(await grow())) return null
    return take(count)
  }

  async function readHead(): Promise<Pick<Answer, 'status' | 'reason' | 'headers' | 'rawHead'>> {
    const bytes = await until('\r\n\r\n')
    if (bytes === null)
      throw new Error(`The connection ended before an answer: ${JSON.stringify(held.toString('latin1').slice(0, 200))}`)
    const rawHead = bytes.toString('latin1')
    const [first = '', ...lines] = rawHead.trimEnd().split('\r\n')
    const match = /^HTTP\/1\.1 (\d{3}) ?(.*)$/.exec(first)
    if (match === null) throw new Error(`No status line: ${first}`)
    return { status: Number(match[1]), reason: match[2] ?? '', headers: pairsOf(lines), rawHead }
  }

  async function chunked(): Promise<Pick<Answer, 'body' | 'trailers' | 'whole'>> {
    const pieces: Buffer[] = []
    const cut = () => ({ body: Buffer.concat(pieces), trailers: [], whole: false })
    for (;;) {
      const line = await until('\r\n')
      if (line === null) return cut()
      const size = Number.parseInt(line.toString('latin1'), 16)
      if (Number.isNaN(size)) throw new Error(`No chunk size: ${line.toString('latin1')}`)
      if (size === 0) break
      const piece = await exactly(size + 2)
      if (piece === null) return cut()
      pieces.push(piece.subarray(0, size))
    }
    const lines: string[] = []
    for (;;) {
      const line = await until('\r\n')
      if (line === null) return cut()
      if (line.length === 2) break
      lines.push(line.toString('latin1').trimEnd())
    }
    return { body: Buffer.concat(pieces), trailers: pairsOf(lines), whole: true }
  }

  async function readBody(
    head: Pick<Answer, 'status' | 'headers'>,
    method: string,
  ): Promise<Pick<Answer, 'body' | 'trailers' | 'whole'>> {
    const nothing = { body: Buffer.alloc(0), trailers: [], whole: true }
    if (method === 'HEAD' || head.status === 204 || head.status === 304) return nothing
    if (header(head, 'transfer-encoding') === 'chunked') return chunked()
    const length = header(head, 'content-length')
    if (length !== undefined) {
      const body = await exactly(Number(length))
      return body === null ? { body: held, trailers: [], whole: false } : { body, trailers: [], whole: true }
    }
    while (await grow());
    return { body: take(held.length), trailers: [], whole: true }
  }

  return {
    socket,
    write: (bytes) => void socket.write(bytes),
    async answer({ method = 'GET' } = {}) {
      let head = await readHead()
      while (head.status < 200) head = await readHead()
      return { ...head, ...(await readBody(head, method)) }
    },
    head: readHead,
    async more() {
      while (held.length === 0) if (!(await grow())) return null
      return take(held.length)
    },
    closed: gone.promise,
    close: () => void socket.destroy(),
  }
}

function pairsOf(lines: readonly string[]): (readonly [string, string])[] {
  return lines.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
  })
}
