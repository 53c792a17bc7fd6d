import type { Wire } from '../../e2e/gateway/wire.ts'

/** The head of an answer, as far as the corpus looks at it. */
export interface Told {
  readonly status: number
  readonly head: string
}

export interface Conversation {
  readonly answers: readonly Told[]
  /** Whether the other side ended the connection. */
  readonly closed: boolean
  /** What came and is no answer. */
  readonly rest: string
}

const PATIENCE_MILLISECONDS = 15_000
/** After the last answer that is owed: what is not whole must not be acted on, so there is nothing to wait for. */
const GRACE_MILLISECONDS = 30
/** What one parser refuses, a stricter one may take for a head that has not ended yet, and wait. */
const UNDECIDED_MILLISECONDS = 400

/**
 * Writes the bytes and reads answers until as many have come as are owed, or the other side has closed.
 * `ends`: nothing more than these answers may come, but a refusal may.
 */
export async function converse(
  wire: Wire,
  bytes: Uint8Array,
  owed: { readonly methods: readonly string[]; readonly answers: number; readonly ends: boolean },
): Promise<Conversation> {
  let held = Buffer.alloc(0)
  let closed = false
  const until = Date.now() + PATIENCE_MILLISECONDS
  wire.write(bytes)
  const come = (): number => answersIn(held, owed.methods).answers.length
  let quiet = false
  while (!closed && (come() < owed.answers || (owed.ends && !quiet))) {
    if (Date.now() > until)
      throw new Error(`Neither answered nor closed; what came: ${held.toString('latin1').slice(0, 300)}`)
    const more = wire.more().catch(() => null)
    const piece = await Promise.race([
      more,
      wire.closed.then(() => null),
      ...(come() < owed.answers ? [] : [undecided()]),
    ])
    if (piece === null) closed = true
    else if (piece === 'quiet') quiet = true
    else held = Buffer.concat([held, piece])
  }
  if (!closed && !quiet) await Promise.race([wire.closed, new Promise((done) => setTimeout(done, GRACE_MILLISECONDS))])
  wire.close()
  return { ...answersIn(held, owed.methods), closed }
}

function undecided(): Promise<'quiet'> {
  return new Promise((done) => setTimeout(() => done('quiet'), UNDECIDED_MILLISECONDS))
}

function answersIn(bytes: Buffer, methods: readonly string[]): { answers: Told[]; rest: string } {
  const answers: Told[] = []
  let at = 0
  while (at < bytes.length) {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end < 0) break
    const head = bytes.subarray(at, end).toString('latin1')
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
    if (Number.isNaN(status)) break
    const start = end + 4
    if (status < 200) {
      at = start
      continue
    }
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
    // A refusal of what could not be read has a body, also where the method would have been HEAD.
    const bodiless = methods[answers.length] === 'HEAD' && bytes[start] !== 0x7b
    if (!bodiless && bytes.length < start + length) break
    answers.push({ status, head })
    at = start + (bodiless ? 0 : length)
  }
  return { answers, rest: bytes.subarray(at).toString('latin1') }
}
