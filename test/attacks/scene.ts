import { expect } from 'vitest'
import { openStage, type HeldOptions, type Stage } from '../e2e/gateway/harness.ts'
import { type Ask, type Held, type Login } from '../e2e/gateway/requests.ts'
import { startUpstream, type Handler, type Upstream } from '../e2e/gateway/upstream.ts'
import type { Answer } from '../e2e/gateway/wire.ts'
import type { Front } from './attack.ts'

/** The whole product, a service that says what a test wants it to say, and an agent that may call it. */
export interface Scene {
  readonly stage: Stage
  readonly upstream: Upstream
  readonly echo: Held
  readonly login: Login
  /** What the service does from now on. */
  answer(handler: Handler): void
  /** A request with the agent's placeholder where the key belongs. */
  ask(front: Front, rest?: Partial<Ask>): Promise<Answer>
  close(): Promise<void>
}

export async function openScene(
  held: Partial<HeldOptions> = {},
  options: Parameters<typeof openStage>[0] = {},
): Promise<Scene> {
  const stage = await openStage(options)
  let handler: Handler = (_request, response) => void response.end()
  const upstream = await startUpstream((request, response, got) => handler(request, response, got))
  const echo = await stage.hold({ id: 'echo', endpoint: upstream.origin, ...held })
  const login = await stage.login('triage')
  return {
    stage,
    upstream,
    echo,
    login,
    answer: (next) => void (handler = next),
    ask: (front, rest = {}) =>
      stage.request({
        ...front,
        held: echo,
        login,
        headers: [bearer(login.placeholder(echo)), ...(rest.headers ?? [])],
        ...without(rest, 'headers'),
      }),
    async close() {
      await stage.close()
      await upstream.close()
    },
  }
}

export const bearer = (text: string) => ['Authorization', `Bearer ${text}`] as const

/** Everything of an answer that a reader could look at, one byte a character. */
export function allOf({ rawHead, body, trailers }: Answer): string {
  return [rawHead, body.toString('latin1'), ...trailers.flat()].join('\n')
}

/** Consecutive bytes of a secret that must not be readable anywhere. Fewer occur by chance, and at the edges of a replaced place. */
export const READABLE_BYTES = 8

/** Fails if any piece of the secret can be read in the text. */
export function expectNoPiece(text: string, secret: string, what = 'a piece of the secret'): void {
  const starts = Array.from({ length: Math.max(1, secret.length - READABLE_BYTES + 1) }, (_, at) => at)
  const readable = starts.find((at) => text.includes(secret.slice(at, at + READABLE_BYTES)))
  // Where it stands, and not what: the report of a failure is read by many.
  expect(readable, `${what} is readable from this byte on`).toBeUndefined()
}

function without<T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> {
  const { [key]: _, ...rest } = value
  return rest
}
