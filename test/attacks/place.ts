import { afterAll, beforeAll } from 'vitest'
import type { AppOptions } from '../../src/app.ts'
import { openStage, type HeldOptions, type Stage } from '../e2e/gateway/harness.ts'
import { type Ask, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Handler, type Upstream } from '../e2e/gateway/upstream.ts'
import type { Answer } from '../e2e/gateway/wire.ts'
import type { Front } from './attack.ts'

/** A credential, and the agent of its own that may use it. */
export interface Placed {
  readonly held: Held
  readonly login: Login
  readonly agent: string
}

/** The whole product with one service behind it, for the attacks of one file. */
export interface Places {
  readonly stage: Stage
  readonly upstream: Upstream
  /** Answers of the service from now on. */
  answerWith(handler: Handler): void
  /** A new service at the upstream, with an agent and a session that no other test has. */
  place(options?: Partial<HeldOptions>): Promise<Placed>
  /** A request as an honest program of this agent would send it, with `more` in it. */
  ask(front: Front, where: Placed, more?: Partial<Ask>): Promise<Answer>
}

export function usePlaces(first: Handler = always(200, {}, 'ok'), options: Partial<AppOptions> = {}): Places {
  let handler = first
  let stage: Stage
  let upstream: Upstream
  let count = 0
  beforeAll(async () => {
    stage = await openStage(options)
    upstream = await startUpstream((request, response, got) => handler(request, response, got))
  })
  afterAll(async () => {
    await stage.close()
    await upstream.close()
  })
  return {
    get stage() {
      return stage
    },
    get upstream() {
      return upstream
    },
    answerWith(next) {
      handler = next
    },
    async place(wanted = {}) {
      count += 1
      const agent = wanted.agent ?? `agent-${count}`
      const held = await stage.hold({ id: `place-${count}`, endpoint: upstream.origin, ...wanted, agent })
      const environment = wanted.environment === undefined ? {} : { environment: wanted.environment }
      return { held, agent, login: await stage.login(agent, environment) }
    },
    ask: (front, { held, login }, more = {}) =>
      stage.request({
        ...front,
        held,
        login,
        ...more,
        headers: more.headers ?? [['Authorization', `Bearer ${login.placeholder(held)}`]],
      }),
  }
}
