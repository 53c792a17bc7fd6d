import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { codeOf, proxyCredentials, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts, type Front } from './attack.ts'
import { boundTo, endRelay, startRelay, type RelayProcess } from './relay-process.ts'

/** What is written by hand here is HTTP/1.1. */
const byHand = fronts.filter(({ protocol }) => protocol === 'http/1.1')

let stage: Stage
let upstream: Upstream
let held: Held
/** A run with two programs in it: the agent, and the sub-agent that it gave its token to. */
let agent: RelayProcess
let stranger: RelayProcess
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  held = await stage.hold({ id: 'service', endpoint: upstream.origin })
  agent = await startRelay(stage.port, '"$@" & wait')
  stranger = await startRelay(stage.port)
  login = await stage.login('triage', { binding: boundTo(agent.process.pid ?? 0) })
})

afterAll(async () => {
  for (const relay of [agent, stranger]) endRelay(relay)
  await stage.close()
  await upstream.close()
})

const headers = (): (readonly [string, string])[] => [['Authorization', `Bearer ${login.placeholder(held)}`]]

async function through(relay: RelayProcess, front: Front): Promise<string> {
  stage.enterBy(relay.port)
  try {
    const answer = await stage.request({ ...front, held, login, headers: headers() })
    return answer.status === 200 ? 'answered' : codeOf(answer)
  } catch (error) {
    // The tunnel itself was refused.
    return error instanceof Error && error.message.includes('CONNECT was answered 403') ? 'session_elsewhere' : 'broken'
  } finally {
    stage.enterBy(null)
  }
}

attack(
  'I2',
  'used by a sub-agent of the same run: allowed, and the journal names the process',
  fronts,
  async (front) => {
    const since = Date.now()
    expect(await through(agent, front)).toBe('answered')
    const { event } = await stage.journaled({ kind: 'intent', agent: 'triage', since })
    expect(event).toMatchObject({
      session: login.id,
      door: front.door,
      bound: 'process',
      process: agent.processId,
      program: expect.stringMatching(/\w/),
    })
  },
)

attack('I2', 'handed to a program outside of the run: refused, and the journal names it', fronts, async (front) => {
  const since = Date.now()
  const reached = upstream.received().length
  expect(await through(stranger, front)).toBe('session_elsewhere')
  expect(upstream.received().length).toBe(reached)
  const { event } = await stage.journaled({ kind: 'refusal', code: 'session_elsewhere', since })
  expect(event).toMatchObject({ session: login.id, agent: 'triage', reason: 'process', process: stranger.processId })
})

attack('I2', 'the token alone, without a placeholder, is bound as well', byHand, async (front) => {
  if (front.door === 'base-url') {
    // There the token is no way in at all.
    const answer = await stage.request({
      door: 'base-url',
      held,
      headers: [['Authorization', `Bearer ${login.token}`]],
    })
    expect(codeOf(answer)).toBe('placeholder_required')
    return
  }
  const wire = await stage.dial()
  const credentials = `Proxy-Authorization: ${proxyCredentials(login.token)}\r\n`
  wire.write(
    front.door === 'tunnel'
      ? `CONNECT ${held.host}:443 HTTP/1.1\r\nHost: ${held.host}:443\r\n${credentials}\r\n`
      : `GET http://${held.host}/ HTTP/1.1\r\nHost: ${held.host}\r\n${credentials}\r\n`,
  )
  expect(codeOf(await wire.answer())).toBe('session_elsewhere')
})
