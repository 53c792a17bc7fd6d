const HEAD_END = Buffer.from('\r\n\r\n')
const LINE_END = Buffer.from('\r\n')

type State = 'head' | 'length' | 'size' | 'chunk' | 'chunk end' | 'trailer'

export interface AnswerListener {
  onHead(status: number): void
  onBody(bytes: Buffer): void
  onEnd(): void
  /** The bytes are not an answer that this reader knows. */
  onNonsense(): void
}

/** Reads HTTP/1.1 answers, one after the other, by Content-Length or chunked framing. For the load only: it trusts what a proxy says. */
export function createAnswerReader(listener: AnswerListener): (bytes: Buffer) => void {
  let state: State = 'head'
  let held: Buffer = Buffer.alloc(0)
  let remaining = 0

  function readHead(bytes: Buffer): number {
    const end = bytes.indexOf(HEAD_END)
    if (end < 0) return -1
    const head = bytes.toString('latin1', 0, end).toLowerCase()
    const status = Number(head.slice(9, 12))
    if (!head.startsWith('http/1.1 ') || !(status >= 100)) {
      listener.onNonsense()
      return bytes.length
    }
    if (status < 200) return end + 4
    listener.onHead(status)
    if (/\r\ntransfer-encoding: *chunked/.test(head)) {
      state = 'size'
    } else {
      remaining = Number(/\r\ncontent-length: *(\d+)/.exec(head)?.[1] ?? 0)
      if (remaining === 0) listener.onEnd()
      else state = 'length'
    }
    return end + 4
  }

  function readBody(bytes: Buffer): number {
    const part = bytes.subarray(0, remaining)
    remaining -= part.length
    listener.onBody(part)
    if (remaining > 0) return part.length
    const whole = state === 'length'
    state = whole ? 'head' : 'chunk end'
    if (whole) listener.onEnd()
    return part.length
  }

  function readLine(bytes: Buffer): number {
    const end = bytes.indexOf(LINE_END)
    if (end < 0) return -1
    if (state === 'size') {
      remaining = Number.parseInt(bytes.toString('latin1', 0, end), 16)
      state = remaining === 0 ? 'trailer' : 'chunk'
    } else if (state === 'chunk end') {
      state = 'size'
    } else if (end === 0) {
      state = 'head'
      listener.onEnd()
    }
    return end + 2
  }

  return (bytes) => {
    let rest = held.length === 0 ? bytes : Buffer.concat([held, bytes])
    while (rest.length > 0) {
      const taken =
        state === 'head' ? readHead(rest) : state === 'length' || state === 'chunk' ? readBody(rest) : readLine(rest)
      if (taken < 0) break
      rest = rest.subarray(taken)
    }
    held = rest
  }
}
