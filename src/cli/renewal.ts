import type { IssuedView } from '../api/answers.ts'
import { KeywardError } from '../core/errors.ts'
import type { Io } from './io.ts'

const RETRY_MILLISECONDS = 5_000
/** How long the end of a run waits for the server to hear of it; the server finds out by itself otherwise. */
const END_MILLISECONDS = 2_000

export interface Renewal {
  /** Stops renewing and revokes the session. Never throws. */
  end(): Promise<void>
}

/** Extends the session at half its life, again and again, until it is ended. */
export function renewSession(io: Io, session: Pick<IssuedView, 'id' | 'ttlSeconds'>): Renewal {
  const { id, ttlSeconds } = session
  let timer: NodeJS.Timeout
  const schedule = (milliseconds: number): void => {
    timer = setTimeout(() => {
      io.client()
        .call('POST /sessions/:id/extend', { id }, { ttlSeconds })
        .then(
          () => schedule((ttlSeconds * 1000) / 2),
          // Revoked or suspended by the operator: his word stands. A server that is away may come back.
          (error: unknown) =>
            error instanceof KeywardError && error.code !== 'server_unreachable'
              ? undefined
              : schedule(RETRY_MILLISECONDS),
        )
    }, milliseconds)
    timer.unref()
  }
  schedule((ttlSeconds * 1000) / 2)
  return {
    async end() {
      clearTimeout(timer)
      const revoked = io
        .client()
        .call('DELETE /sessions/:id', { id }, {})
        .then(
          () => undefined,
          () => undefined,
        )
      const bound = new Promise<void>((resolve) => void setTimeout(resolve, END_MILLISECONDS).unref())
      await Promise.race([revoked, bound])
    },
  }
}
