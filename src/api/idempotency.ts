import { createHash } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import type { RouteName } from './answers.ts'

/** How long an answer is remembered for the one who asks again. */
export const REMEMBERED_MILLISECONDS = 60 * 60_000
export const REMEMBERED_ANSWERS_MAXIMUM = 1_000
export const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/

/** Changes that were asked for under a key of the caller's own (draft-ietf-httpapi-idempotency-key-header). */
export interface Idempotency {
  /**
   * Does the work once for each key, and gives its answer, as text, to whoever asks again, or the error that
   * Keyward gave as its answer. An error of its own (`internal`) is forgotten, so that it may be tried again. Throws
   * `usage` for a malformed key, `idempotency_reused` where the key was used for something else, `idempotency_running`
   * while the first is under way, `overloaded` where no room is left.
   */
  once(key: string, asked: Repeatable, work: () => Promise<string>): Promise<string>
}

export interface Repeatable {
  readonly route: RouteName
  /** The path with its parameters. */
  readonly path: string
  readonly input: unknown
  /** Who asks: another one's key is another key's. */
  readonly actor: string
}

interface Remembered {
  readonly asked: string
  readonly at: number
  /** Null while it is under way. */
  outcome: { readonly answer: string } | { readonly error: KeywardError } | null
}

/** Their answers hold secrets, which are given once and kept nowhere. */
const unrepeatable: ReadonlySet<RouteName> = new Set<RouteName>([
  'POST /environments/:environment/credentials/:name/reveal',
  'POST /environments/:environment/sessions',
  'POST /environments/:environment/runs',
  'POST /logins',
  'POST /logins/oidc/begin',
  'POST /logins/oidc',
  'POST /machine/logins',
  'POST /environments/:environment/agents/:name/enrolments',
  'POST /vault/slots',
  'POST /login-codes',
])

export function isRepeatable(route: RouteName): boolean {
  return !unrepeatable.has(route)
}

/** In memory alone: after a start every key is new. */
export function createIdempotency({ now }: { readonly now: () => number }): Idempotency {
  const remembered = new Map<string, Remembered>()

  function makeRoom(): void {
    for (const [key, { at, outcome }] of remembered)
      if (outcome !== null && now() - at >= REMEMBERED_MILLISECONDS) remembered.delete(key)
    if (remembered.size >= REMEMBERED_ANSWERS_MAXIMUM)
      throw new KeywardError('overloaded', 'Too many idempotency keys are remembered.')
  }

  return {
    async once(key, asked, work) {
      if (!IDEMPOTENCY_KEY.test(key))
        throw new KeywardError('usage', 'Idempotency-Key: must be 1 to 128 printable characters without spaces.')
      // A digest, because what is asked for may hold a secret, which is not to be kept here.
      const digest = digestOf(asked)
      const known = remembered.get(key)
      if (known !== undefined && now() - known.at < REMEMBERED_MILLISECONDS) {
        if (known.asked !== digest) throw new KeywardError('idempotency_reused')
        if (known.outcome === null) throw new KeywardError('idempotency_running')
        if ('error' in known.outcome) throw known.outcome.error
        return known.outcome.answer
      }
      makeRoom()
      const entry: Remembered = { asked: digest, at: now(), outcome: null }
      remembered.set(key, entry)
      try {
        const answer = await work()
        entry.outcome = { answer }
        return answer
      } catch (error) {
        if (error instanceof KeywardError && error.code !== 'internal') entry.outcome = { error }
        else remembered.delete(key)
        throw error
      }
    },
  }
}

function digestOf({ route, path, input }: Repeatable): string {
  return createHash('sha256')
    .update(JSON.stringify([route, path, input]))
    .digest('hex')
}
