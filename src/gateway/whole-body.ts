import { WHOLE_REQUEST_MILLISECONDS, type RequestBody } from './body.ts'
import type { Refusal } from './refusal.ts'

/** The longest body that is read before anything is decided: where it may hold the credential, or says what is done. */
export const BODY_FIRST_MAXIMUM_BYTES = 1024 * 1024
/** Of such bodies may be in memory at once, those of one session and all together. */
export const BODY_FIRST_SESSION_MAXIMUM_BYTES = 8 * 1024 * 1024
export const BODY_FIRST_TOTAL_MAXIMUM_BYTES = 64 * 1024 * 1024

/** Room for bodies that are read whole, shared by all sessions. */
export interface WholeBodies {
  /**
   * All of the body. `leave` gives the room back, once the body was sent. `gone`: the agent went away. Whose
   * session it is may not be known yet (null); then it takes the room of all.
   */
  read(body: RequestBody, sessionId: string | null): Promise<WholeBody | Refusal | 'gone'>
}

export interface WholeBody {
  readonly bytes: Uint8Array
  readonly leave: () => void
}

export function createWholeBodies(): WholeBodies {
  const ofSessions = new Map<string, number>()
  let total = 0

  function add(sessionId: string | null, bytes: number): void {
    total += bytes
    if (sessionId === null) return
    const sum = (ofSessions.get(sessionId) ?? 0) + bytes
    if (sum === 0) ofSessions.delete(sessionId)
    else ofSessions.set(sessionId, sum)
  }

  const isFull = (sessionId: string | null): boolean =>
    total > BODY_FIRST_TOTAL_MAXIMUM_BYTES ||
    (sessionId !== null && (ofSessions.get(sessionId) ?? 0) > BODY_FIRST_SESSION_MAXIMUM_BYTES)

  return {
    async read(body, sessionId) {
      if (body.length !== null && body.length > BODY_FIRST_MAXIMUM_BYTES) return tooLarge
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
            if (taken > BODY_FIRST_MAXIMUM_BYTES) finish(tooLarge)
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
  detail: `Here a body is read before anything is decided; that is done up to ${BODY_FIRST_MAXIMUM_BYTES} bytes.`,
}
