import { WHOLE_REQUEST_MILLISECONDS, type RequestBody } from '../body.ts'
import type { Refusal } from '../refusal.ts'

/** A body that must be read before anything is decided may be as long as this. */
export const JUDGED_BODY_MAXIMUM_BYTES = 1024 * 1024
/** Of such bodies may be in memory at once, those of one session and all together. */
export const JUDGED_SESSION_MAXIMUM_BYTES = 8 * 1024 * 1024
export const JUDGED_TOTAL_MAXIMUM_BYTES = 64 * 1024 * 1024

/** Room for bodies that are read whole, shared by all sessions. */
export interface JudgedBodies {
  /** All of the body. `leave` gives the room back, once the body was sent. `gone`: the agent went away. */
  read(body: RequestBody, sessionId: string): Promise<WholeBody | Refusal | 'gone'>
}

export interface WholeBody {
  readonly bytes: Uint8Array
  readonly leave: () => void
}

export function createJudgedBodies(): JudgedBodies {
  const ofSessions = new Map<string, number>()
  let total = 0

  function add(sessionId: string, bytes: number): void {
    const sum = (ofSessions.get(sessionId) ?? 0) + bytes
    if (sum === 0) ofSessions.delete(sessionId)
    else ofSessions.set(sessionId, sum)
    total += bytes
  }

  const isFull = (sessionId: string): boolean =>
    total > JUDGED_TOTAL_MAXIMUM_BYTES || (ofSessions.get(sessionId) ?? 0) > JUDGED_SESSION_MAXIMUM_BYTES

  return {
    async read(body, sessionId) {
      if (body.length !== null && body.length > JUDGED_BODY_MAXIMUM_BYTES) return tooLarge
      let taken = 0
      const leave = (): void => {
        add(sessionId, -taken)
        taken = 0
      }
      const pieces: Uint8Array[] = []
      const ended = await new Promise<Refusal | 'gone' | null>((done) => {
        let isOver = false
        const timer = setTimeout(() => finish({ refusal: 'request_timeout' }), WHOLE_REQUEST_MILLISECONDS)
        const finish = (how: Refusal | 'gone' | null): void => {
          isOver = true
          clearTimeout(timer)
          done(how)
        }
        body.read({
          data(piece) {
            if (isOver) return
            taken += piece.byteLength
            add(sessionId, piece.byteLength)
            if (taken > JUDGED_BODY_MAXIMUM_BYTES) finish(tooLarge)
            else if (isFull(sessionId)) finish({ refusal: 'overloaded', retryAfterSeconds: 1 })
            else pieces.push(piece)
          },
          end: () => finish(null),
          fail: (why) => finish(why ?? 'gone'),
        })
      })
      if (ended === null) return { bytes: Buffer.concat(pieces), leave }
      leave()
      return ended
    },
  }
}

const tooLarge: Refusal = {
  refusal: 'request_too_large',
  detail: `What a body does here is judged before it is sent; that is done up to ${JUDGED_BODY_MAXIMUM_BYTES} bytes.`,
}

/** The bytes as a body that can be read once more. */
export function bodyOf(bytes: Uint8Array): RequestBody {
  return {
    length: bytes.byteLength,
    read(sink) {
      if (bytes.byteLength > 0) sink.data(bytes)
      sink.end([])
    },
    pause: () => undefined,
    resume: () => undefined,
  }
}
