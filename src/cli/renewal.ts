import type { IssuedView } from '../api/answers.ts'
import { KeywardError, type ErrorCode } from '../core/errors.ts'
import type { Io } from './io.ts'
import type { MachineLogin } from './machine-login.ts'

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
      await withinBound(io.client().call('DELETE /sessions/:id', { id }, {}))
    },
  }
}

/** The same for a session that a machine logged in by itself: its files are read again each time. */
export function renewMachine({ session, renew, logOut }: MachineLogin): Renewal {
  const half = (session.ttlSeconds * 1000) / 2
  let timer: NodeJS.Timeout
  const schedule = (milliseconds: number): void => {
    timer = setTimeout(() => {
      renew().then(
        () => schedule(half),
        (error: unknown) =>
          error instanceof KeywardError && final.has(error.code) ? undefined : schedule(RETRY_MILLISECONDS),
      )
    }, milliseconds)
    timer.unref()
  }
  schedule(half)
  return {
    async end() {
      clearTimeout(timer)
      await withinBound(logOut())
    },
  }
}

/** Waits for the server, but not for long; what it answers makes no difference any more. */
async function withinBound(ending: Promise<unknown>): Promise<void> {
  const heard = ending.then(
    () => undefined,
    () => undefined,
  )
  const bound = new Promise<void>((resolve) => void setTimeout(resolve, END_MILLISECONDS).unref())
  await Promise.race([heard, bound])
}

/** What trying again does not mend: a token file that is about to be written anew is read again. */
const final: ReadonlySet<ErrorCode> = new Set([
  'renewal_refused',
  'session_revoked',
  'session_suspended',
  'session_expired',
  'agent_suspended',
  'issuer_unknown',
])
