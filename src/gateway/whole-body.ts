import { Collected } from './collected.ts'
import { WHOLE_REQUEST_MILLISECONDS, type RequestBody } from './body.ts'
import type { Refusal } from './refusal.ts'

/** The longest body that is read before anything is decided: where it may hold the credential, or says what is done. */
export const BODY_FIRST_MAXIMUM_BYTES = 1024 * 1024
/** Of such bodies may be in memory at once, those of one session and all together. */
export const BODY_FIRST_SESSION_MAXIMUM_BYTES = 8 * 1024 * 1024
export const BODY_FIRST_TOTAL_MAXIMUM_BYTES = 64 * 1024 * 1024
/** Of those whose session is not known before they are here. */
export const BODY_FIRST_UNKNOWN_MAXIMUM_BYTES = 32 * 1024 * 1024

/** Room for bodies that are read whole, shared by all sessions. */
export interface WholeBodies {
  /**
   * All of the body. `leave` gives the room back, once the body was sent. `gone`: the agent went away. Whose
   * session it is may not be known yet (null); such bodies have a room of their own.
   */
  read(body: RequestBody, sessionId: string | null): Promise<WholeBody | Refusal | 'gone'>
}

export interface WholeBody {
  readonly bytes: Uint8Array
  readonly leave: () => void
  /** Says whose session it is, once that is known; the refusal where that has no more room. */
  readonly belongsTo: (sessionId: string) => Refusal | null
}

export function createWholeBodies(): WholeBodies {
  const ofSessions = new Map<string, number>()
  let ofKnown = 0
  let ofUnknown = 0

  function add(sessionId: string | null, bytes: number): void {
    if (sessionId === null) {
      ofUnknown += bytes
      return
    }
    ofKnown += bytes
    const sum = (ofSessions.get(sessionId) ?? 0) + bytes
    if (sum === 0) ofSessions.delete(sessionId)
    else ofSessions.set(sessionId, sum)
  }

  const isFull = (sessionId: string | null): boolean =>
    sessionId === null
      ? ofUnknown > BODY_FIRST_UNKNOWN_MAXIMUM_BYTES
      : ofKnown > BODY_FIRST_TOTAL_MAXIMUM_BYTES || (ofSessions.get(sessionId) ?? 0) > BODY_FIRST_SESSION_MAXIMUM_BYTES

  return {
    async read(body, sessionId) {
      if (body.length !== null && body.length > BODY_FIRST_MAXIMUM_BYTES) return tooLarge
      const collected = new Collected()
      let owner = sessionId
      let taken = 0
      const resize = (bytes: number): void => {
        add(owner, bytes - taken)
        taken = bytes
      }
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
            if (collected.length + piece.byteLength > BODY_FIRST_MAXIMUM_BYTES) return finish(tooLarge)
            collected.push(piece)
            resize(collected.room)
            if (isFull(owner)) finish(overloaded)
          },
          end: () => finish(null),
          fail: (why) => finish(why ?? 'gone'),
        })
      })
      if (ended !== null) {
        resize(0)
        return ended
      }
      return {
        bytes: collected.take(),
        leave: () => resize(0),
        belongsTo(session) {
          const bytes = taken
          resize(0)
          owner = session
          resize(bytes)
          if (!isFull(owner)) return null
          resize(0)
          return overloaded
        },
      }
    },
  }
}

const overloaded: Refusal = { refusal: 'overloaded', retryAfterSeconds: 1 }
const tooLarge: Refusal = {
  refusal: 'request_too_large',
  detail: `Here a body is read before anything is decided; that is done up to ${BODY_FIRST_MAXIMUM_BYTES} bytes.`,
}
