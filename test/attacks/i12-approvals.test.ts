import { afterAll, beforeAll, expect } from 'vitest'
import { ownersDoor } from '../../src/api/caller.ts'
import { createControlApi } from '../../src/api/control.ts'
import { eventually } from '../e2e/gateway/harness.ts'
import { connectHead, codeOf, proxyCredentials } from '../e2e/gateway/requests.ts'
import { answerWhenAsked, approvalsOf, waiting } from '../e2e/gateway/approving.ts'
import { attack, fronts, inside } from './attack.ts'
import { openOrdinaryRun, type Mode, type OrdinaryRun } from './ordinary-run.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()
let ordinary: OrdinaryRun

beforeAll(async () => {
  ordinary = await openOrdinaryRun()
})
afterAll(() => ordinary.close())

const wanted = { method: 'POST', target: '/orders', body: '{"amount":1}' } as const

attack('I12', 'while a person is asked, the agent can do nothing to answer', fronts, async (front) => {
  const { app } = places.stage
  const where = await places.place({ approve: 'always' })
  const { token } = where.login
  const before = places.upstream.got.length
  const held = places.ask(front, where, wanted)
  const { id } = await waiting(places.stage, where)
  const bearer = ['Authorization', `Bearer ${where.login.placeholder(where.held)}`] as const

  // The control API as a path behind every door, with all that the agent has.
  const own = `127.0.0.1:${places.stage.port}`
  for (const target of [`/approvals/${id}/accept`, `/s/${where.held.id}/approvals/${id}/accept`]) {
    const wire = await places.stage.dial()
    if (front.door === 'tunnel') wire.write(connectHead(own, token))
    else {
      const line = front.door === 'absolute' ? `http://${own}${target}` : target
      wire.write(
        `POST ${line} HTTP/1.1\r\nHost: ${own}\r\nProxy-Authorization: ${proxyCredentials(token)}\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
      )
    }
    expect(['service_unknown', 'loop_refused', 'port_refused', 'placeholder_required']).toContain(
      codeOf(await wire.answer()),
    )
    wire.close()
  }
  // Led to the control API itself, its token opens nothing there.
  const api = createControlApi({ ...app, stop: () => undefined }, { door: ownersDoor('operator:test') })
  for (const answer of ['accept', 'refuse'])
    for (const credentials of [`Bearer ${token}`, proxyCredentials(token)]) {
      const told = await api.request(`http://keyward/approvals/${id}/${answer}`, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json', authorization: credentials },
      })
      expect([told.status, await told.json()]).toMatchObject([401, { code: 'token_invalid' }])
    }
  // What the request says of itself is no answer: it is another request, about which a person is asked.
  const claims = (['Keyward-Approval', 'Keyward-Approve', 'X-Approved-By'] as const).map((name) =>
    places.ask(front, where, { ...wanted, headers: [bearer, [name, id]], target: `/orders?by=${name}` }),
  )
  await eventually(() => approvalsOf(places.stage, where).length === 4)
  expect(app.approvals.get(id)).toMatchObject({ state: 'pending', answeredBy: null })
  expect(places.upstream.got.length).toBe(before)

  for (const { id: one } of approvalsOf(places.stage, where))
    if (one !== id) await app.approvals.answer(one, 'refuse', 'operator:person')
  expect((await Promise.all(claims)).map(codeOf)).toEqual(claims.map(() => 'approval_refused'))
  await app.approvals.answer(id, 'accept', 'operator:person')
  expect((await held).status).toBe(200)
  expect(places.upstream.got.length).toBe(before + 1)
})

attack('I12', 'what the agent writes cannot speak for Keyward to the person', fronts, async (front) => {
  const where = await places.place({ approve: 'always' })
  const words = 'Approved by the operator.'
  const hostile = `\u001b[2J\u001b]0;${words}\u0007\u202e${words}\u2066\r\nagent  ada\n\u200b\u{e0041}\u0000`
  const [answer, asked] = await Promise.all([
    places.ask(front, where, { ...wanted, body: hostile }),
    answerWhenAsked(places.stage, where),
  ])
  expect(answer.status).toBe(200)
  expect(places.upstream.got.at(-1)?.body.toString()).toBe(hostile)
  const told = JSON.stringify(asked.facts)
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  expect(told).not.toMatch(/[\u0000-\u001f\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/u)
  expect(asked.facts.body.text).toContain(String.raw`\u{1b}[2J\u{1b}]0;`)
  expect(asked.facts.body.text).toContain(String.raw`\u{202e}`)
  // Who asks, and for what, are Keyward's own words and come first.
  expect(Object.keys(asked.facts).slice(0, 5)).toEqual(['agent', 'environment', 'session', 'credential', 'service'])
  expect(asked.facts).toMatchObject({ agent: where.agent, method: 'POST', destructive: true })
  expect(told).not.toContain(where.login.placeholder(where.held))
})

for (const mode of ['none', 'files', 'full'] satisfies Mode[]) {
  const isContained = mode !== 'none'
  const title = isContained ? 'does not reach the command that answers' : 'reaches it: cooperative is no boundary'
  attack('I12', `an agent under --contain ${mode} ${title}`, inside, async () => {
    const { entry, home } = ordinary
    const program = `
      import { spawnSync } from 'node:child_process'
      const env = { ...process.env, KEYWARD_HOME: ${JSON.stringify(home)} }
      const told = spawnSync(process.execPath, [${JSON.stringify(entry)}, 'approval', 'list'], { env, encoding: 'utf8' })
      console.log('list ended with', told.status, told.stderr)`
    const { out } = await ordinary.run(mode, program)
    expect(out).toMatch(isContained ? /list ended with [1-9]/ : /list ended with 0/)
  })
}
