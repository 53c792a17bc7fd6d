import type { RequestBody } from './body.ts'
import type { Refusal } from './refusal.ts'

/** The longest body that is read before the request is located, because its service takes a credential in bodies. */
export const LOCATED_BODY_MAXIMUM_BYTES = 1024 * 1024
/** What all such bodies together may take while they are on their way. */
export const LOCATED_BODIES_MAXIMUM_BYTES = 64 * 1024 * 1024
/** How long such a body may take to arrive. */
export const LOCATED_BODY_MILLISECONDS = 60_000

/** Of bodies that are on their way now. */
let held = 0

/** The whole of a body, or why it is not read. `gone`: the agent went away before it was complete. */
export function readWhole(body: RequestBody): Promise<Uint8Array | Refusal | 'gone'> {
  return new Promise((done) => {
    if ((body.length ?? 0) > LOCATED_BODY_MAXIMUM_BYTES) return done(tooLarge)
    let pieces: Uint8Array[] = []
    let bytes = 0
    let over = false
    const finish = (end: Uint8Array | Refusal | 'gone'): void => {
      if (over) return
      over = true
      clearTimeout(timer)
      held -= bytes
      pieces = []
      done(end)
    }
    const timer = setTimeout(() => finish({ refusal: 'request_timeout' }), LOCATED_BODY_MILLISECONDS)
    body.read({
      data(piece) {
        if (over) return
        bytes += piece.length
        held += piece.length
        pieces.push(piece)
        if (bytes > LOCATED_BODY_MAXIMUM_BYTES) finish(tooLarge)
        else if (held > LOCATED_BODIES_MAXIMUM_BYTES) finish({ refusal: 'overloaded', retryAfterSeconds: 1 })
      },
      end: () => finish(Buffer.concat(pieces)),
      fail: (why) => finish(why ?? 'gone'),
    })
  })
}

const tooLarge: Refusal = {
  refusal: 'request_too_large',
  detail: `A body that may hold a credential is at most ${LOCATED_BODY_MAXIMUM_BYTES} bytes long.`,
}
