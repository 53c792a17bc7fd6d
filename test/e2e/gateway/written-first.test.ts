import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { KeywardError } from '../../../src/core/errors.ts'
import { Secret } from '../../../src/core/secret.ts'
import { madeUp, openStage, type Stage } from './harness.ts'
import { codeOf, doors, type Door, type Held, type Login } from './requests.ts'
import { startUpstream, type Handler, type Upstream } from './upstream.ts'

/** Promise 4: written before sent. Without an entry nothing leaves, and what changed while it was written counts. */

let stage: Stage
let upstream: Upstream
let handler: Handler = (_request, response) => void response.end('ok')
let count = 0

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((request, response, got) => handler(request, response, got))
})

afterEach(() => void vi.restoreAllMocks())

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

async function place(): Promise<{ held: Held; login: Login }> {
  count += 1
  const held = await stage.hold({ id: `place-${count}`, endpoint: upstream.origin, agent: `agent-${count}` })
  return { held, login: await stage.login(`agent-${count}`) }
}

const ask = (door: Door, { held, login }: { held: Held; login: Login }) =>
  stage.request({ door, held, login, headers: [['Authorization', `Bearer ${login.placeholder(held)}`]] })

/** Lets `until` pass before an intent is given to the journal. */
function holdIntents(until: (event: unknown) => Promise<void>): void {
  const append = stage.app.journal.append.bind(stage.app.journal)
  vi.spyOn(stage.app.journal, 'append').mockImplementation(async (event, options) => {
    if (event.kind === 'intent') await until(event)
    return append(event, options)
  })
}

describe.each(doors)('%s', (door) => {
  test('the intent is in the journal when the request arrives at the service', async () => {
    const where = await place()
    let found = 0
    handler = (_request, response) => {
      void stage.entries({ kind: 'intent', agent: `agent-${count}` }).then((entries) => {
        found = entries.length
        response.end('ok')
      })
    }
    expect((await ask(door, where)).status).toBe(200)
    expect(found).toBe(1)
    handler = (_request, response) => void response.end('ok')
  })

  test('a key replaced while the intent is written: the new one goes out, the journal names both, and neither comes back', async () => {
    const where = await place()
    const fresh = madeUp()
    const old = where.held.secret()
    handler = (request, response) => void response.end(`${request.headers.authorization} and ${old}`)
    let replaced = false
    holdIntents(async () => {
      if (replaced) return
      replaced = true
      await stage.app.credentials.set(where.held.credentialId, { key: Secret.fromText('key', fresh) }, 'test')
    })
    const answer = await ask(door, where)
    expect(answer.status).toBe(200)
    expect(upstream.received().toString('latin1')).toContain(fresh)
    const text = answer.body.toString('latin1')
    expect(text).not.toContain(fresh)
    expect(text).not.toContain(old)
    const intents = await stage.entries({ kind: 'intent', agent: `agent-${count}` })
    expect(intents.map(({ event }) => event['version'])).toEqual(expect.arrayContaining([1, 2]))
    handler = (_request, response) => void response.end('ok')
  })

  test('a journal that cannot be written stops the request', async () => {
    const where = await place()
    const before = upstream.received().length
    holdIntents(() => Promise.reject(new KeywardError('journal_unwritable')))
    const answer = await ask(door, where)
    expect({ code: codeOf(answer), status: answer.status }).toEqual({ code: 'journal_unwritable', status: 503 })
    expect(upstream.received().length).toBe(before)
    vi.restoreAllMocks()
    expect((await ask(door, where)).status).toBe(200)
  })

  test('nothing leaves while the journal is still writing', async () => {
    const where = await place()
    const before = upstream.received().length
    const gate = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    holdIntents(() => {
      reached.resolve()
      return gate.promise
    })
    const pending = ask(door, where)
    await reached.promise
    expect(upstream.received().length).toBe(before)
    gate.resolve()
    expect((await pending).status).toBe(200)
  })

  test.each<[string, string, (where: { held: Held; login: Login }) => Promise<void>]>([
    ['session_revoked', 'a session revoked', ({ login }) => stage.app.sessions.revoke(login.id, 'test')],
    ['agent_suspended', 'an agent suspended', ({ held }) => stage.app.agents.suspend(held.agentId, 'test')],
    [
      'credential_suspended',
      'a credential suspended',
      ({ held }) => stage.app.credentials.suspend(held.credentialId, 'test'),
    ],
    ['grant_missing', 'a grant removed', ({ held }) => stage.app.grants.remove(held.grantId, 'test')],
  ])('%s: %s while the journal writes', async (code, _name, take) => {
    const where = await place()
    const before = upstream.received().length
    holdIntents(() => take(where))
    const wire = ask(door, where)
    const answer = await wire.catch(() => null)
    // The tunnel itself ends with its session.
    if (answer !== null) expect(codeOf(answer)).toBe(code)
    else
      expect([door, code]).toSatisfy(
        ([at, why]) => at === 'tunnel' && (why === 'session_revoked' || why === 'agent_suspended'),
      )
    expect(upstream.received().length).toBe(before)
    expect((await stage.journaled({ kind: 'outcome', agent: `agent-${count}` })).event).toMatchObject({
      outcome: 'refused',
      code,
    })
  })

  test('an error that nobody expected is told by its reference only', async () => {
    const where = await place()
    const before = upstream.received().length
    holdIntents(() => Promise.reject(new Error(`inner ${where.held.secret()}`)))
    const answer = await ask(door, where)
    expect(codeOf(answer)).toBe('internal')
    expect(answer.body.toString()).toContain('reference')
    expect(answer.body.toString()).not.toContain('inner')
    expect(upstream.received().length).toBe(before)
    expect(stage.errors.splice(0)).toHaveLength(1)
  })
})
