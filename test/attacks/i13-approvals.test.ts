import { expect } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { eventually, madeUp } from '../e2e/gateway/harness.ts'
import { codeOf, requestBytes, requestFields, type Ask } from '../e2e/gateway/requests.ts'
import { always, startUpstream } from '../e2e/gateway/upstream.ts'
import { answerWhenAsked, approvalsOf, problemOf, waiting } from '../e2e/gateway/approving.ts'
import { attack, fronts, inside, type Front } from './attack.ts'
import { makeHome } from './home.ts'
import { usePlaces, type Placed } from './place.ts'

/** Nobody waits here for long: for what is accepted after the wait. */
const places = usePlaces(undefined, { approvalWaitMilliseconds: 200 })
/** Here the answer comes while the request is held. */
const patient = usePlaces()

const wanted = { method: 'POST', target: '/orders?dry=no', body: JSON.stringify({ amount: 1 }) } as const
const headersOf = ({ login, held }: Placed) => [['Authorization', `Bearer ${login.placeholder(held)}`]] as const

/** A request that nobody answered in time, and that was accepted then. */
async function accepted(front: Front, where: Placed, ask: Partial<Ask> = wanted): Promise<string> {
  const answer = await places.ask(front, where, ask)
  expect(codeOf(answer)).toBe('approval_required')
  const id = problemOf(answer).approval ?? ''
  await places.stage.app.approvals.answer(id, 'accept', 'operator:person')
  return id
}

attack('I13', 'an approval lets one request pass, once, and the intent names it', fronts, async (front) => {
  const where = await places.place({ approve: 'destructive' })
  const before = places.upstream.got.length
  const id = await accepted(front, where)
  expect(places.upstream.got.length).toBe(before)
  expect((await places.ask(front, where, wanted)).status).toBe(200)
  expect(places.upstream.got.slice(before).map(({ target, body }) => [target, body.toString()])).toEqual([
    [wanted.target, wanted.body],
  ])
  const { event } = await places.stage.journaled({ kind: 'intent', agent: where.agent })
  expect(event['approval']).toBe(id)
  // The person's answer was written down before it counted.
  const control = await places.stage.journaled({ kind: 'control', text: id })
  expect(control.event).toMatchObject({ action: 'approval.accept', actor: 'operator:person', agent: where.agent })
  expect(codeOf(await places.ask(front, where, wanted))).toBe('approval_required')
  expect(places.upstream.got.length).toBe(before + 1)
})

attack('I13', 'the same request many times at once passes once', fronts, async (front) => {
  const where = await places.place({ approve: 'always' })
  const before = places.upstream.got.length
  await accepted(front, where)
  const answers = await Promise.all(Array.from({ length: 6 }, () => places.ask(front, where, wanted)))
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  expect(answers.filter(({ status }) => status !== 200).map(codeOf)).toEqual(Array(5).fill('approval_required'))
  expect(places.upstream.got.length).toBe(before + 1)
})

attack('I13', 'one byte, one header, another target or method is another request', fronts, async (front) => {
  const where = await places.place({ approve: 'always' })
  const before = places.upstream.got.length
  await accepted(front, where)
  const others: readonly Partial<Ask>[] = [
    { ...wanted, body: JSON.stringify({ amount: 2 }) },
    { ...wanted, headers: [...headersOf(where), ['X-More', '1']] },
    { ...wanted, target: '/orders?dry=yes' },
    { ...wanted, method: 'PUT' },
  ]
  const answers = await Promise.all(others.map((other) => places.ask(front, where, other)))
  expect(answers.map(codeOf)).toEqual(others.map(() => 'approval_required'))
  expect(places.upstream.got.length).toBe(before)
  expect((await places.ask(front, where, wanted)).status).toBe(200)
})

attack('I13', 'another session of the same agent cannot use it', fronts, async (front) => {
  const where = await places.place({ approve: 'always' })
  const before = places.upstream.got.length
  await accepted(front, where)
  const other = { ...where, login: await places.stage.login(where.agent) }
  expect(codeOf(await places.ask(front, other, wanted))).toBe('approval_required')
  expect(places.upstream.got.length).toBe(before)
})

attack('I13', 'ten minutes after the question it is too late, to answer and to use', fronts, async (front) => {
  const where = await places.place({ approve: 'always' })
  const before = places.upstream.got.length
  await accepted(front, where)
  const late = problemOf(await places.ask(front, where, { ...wanted, target: '/late' })).approval ?? ''
  places.stage.advance(10 * 60_000)
  await expect(places.stage.app.approvals.answer(late, 'accept', 'operator:person')).rejects.toMatchObject({
    code: 'approval_expired',
  })
  expect(codeOf(await places.ask(front, where, wanted))).toBe('approval_required')
  expect(places.upstream.got.length).toBe(before)
})

attack('I13', 'a change of policy voids what was accepted', fronts, async (front) => {
  const where = await places.place({ approve: 'always' })
  const { agentId, credentialId } = where.held
  const { app } = places.stage
  const before = places.upstream.got.length
  const more = () =>
    app.grants.add({ agentId, credentialId, allow: ['GET /x'], deny: [], limits: {}, expiresAt: null }, 'test')
  await accepted(front, where)
  await more()
  expect(codeOf(await places.ask(front, where, wanted))).toBe('approval_required')
  expect(places.upstream.got.length).toBe(before)
})

attack('I13', 'a change of policy while the request is held voids the answer', fronts, async (front) => {
  const where = await patient.place({ approve: 'always' })
  const { agentId, credentialId } = where.held
  const { app } = patient.stage
  const held = patient.ask(front, where, wanted)
  const asked = await waiting(patient.stage, where)
  await app.grants.add({ agentId, credentialId, allow: ['GET /x'], deny: [], limits: {}, expiresAt: null }, 'test')
  await app.approvals.answer(asked.id, 'accept', 'operator:person')
  expect(codeOf(await held)).toBe('approval_void')
  expect(patient.upstream.got).toEqual([])
})

attack('I13', 'what was suspended meanwhile takes its approvals with it', fronts, async (front) => {
  const where = await places.place({ approve: 'always' })
  const { credentialId } = where.held
  const { app } = places.stage
  const before = places.upstream.got.length
  await accepted(front, where)
  await app.credentials.suspend(credentialId, 'test')
  await app.credentials.resume(credentialId, 'test')
  expect(approvalsOf(places.stage, where)).toEqual([])
  expect(codeOf(await places.ask(front, where, wanted))).toBe('approval_required')
  expect(places.upstream.got.length).toBe(before)
})

attack('I13', 'a held request ends with its session, agent or credential', fronts, async (front) => {
  const { app } = patient.stage
  for (const [end, code] of [
    [(where: Placed) => app.credentials.suspend(where.held.credentialId, 'test'), 'credential_suspended'],
    [(where: Placed) => app.agents.suspend(where.held.agentId, 'test'), 'session_revoked'],
    [(where: Placed) => app.sessions.revoke(where.login.id, 'test'), 'session_revoked'],
  ] as const) {
    const where = await patient.place({ approve: 'always' })
    // A tunnel ends with its session, and the answer with the tunnel.
    const held = patient.ask(front, where, wanted).catch(() => null)
    await waiting(patient.stage, where)
    await end(where)
    const answer = await held
    if (answer !== null) expect(codeOf(answer)).toBe(code)
    else expect(front.door).toBe('tunnel')
    expect(approvalsOf(patient.stage, where)).toEqual([])
  }
  expect(patient.upstream.got).toEqual([])
})

attack('I13', 'no answer is a no', fronts, async (front) => {
  const where = await places.place({ approve: 'always' })
  const before = places.upstream.got.length
  expect(codeOf(await places.ask(front, where, wanted))).toBe('approval_required')
  expect(places.upstream.got.length).toBe(before)
})

attack('I13', 'a no stays one for the same request', fronts, async (front) => {
  const where = await patient.place({ approve: 'always' })
  const [answer] = await Promise.all([
    patient.ask(front, where, wanted),
    answerWhenAsked(patient.stage, where, 'refuse'),
  ])
  expect(codeOf(answer)).toBe('approval_refused')
  expect(codeOf(await patient.ask(front, where, wanted))).toBe('approval_refused')
  expect(patient.upstream.got).toEqual([])
})

attack('I13', 'who goes away takes the question along', fronts, async (front) => {
  const where = await patient.place({ approve: 'always' })
  const hang = await leaveSoon(front, where)
  const asked = await waiting(patient.stage, where)
  hang()
  await eventually(() => patient.stage.app.approvals.get(asked.id) === undefined)
  await expect(patient.stage.app.approvals.answer(asked.id, 'accept', 'operator:person')).rejects.toMatchObject({
    code: 'not_found',
  })
  expect(patient.upstream.got).toEqual([])
})

/** Sends the request and gives how to go away. */
async function leaveSoon(front: Front, where: Placed): Promise<() => void> {
  const ask: Ask = { ...front, held: where.held, login: where.login, ...wanted, headers: headersOf(where) }
  if (front.protocol === 'h2') {
    const wire = await patient.stage.openH2(front.door, where.held.host, where.login)
    wire.request(requestFields(patient.stage, ask), wanted.body).catch(() => undefined)
    return () => wire.close()
  }
  const wire = await patient.stage.open(front.door, where.held.host, where.login)
  wire.write(requestBytes(patient.stage, ask))
  return () => wire.close()
}

attack('I13', 'an answer that was not used goes with the process', inside, async () => {
  const home = makeHome()
  const service = await startUpstream(always(200, {}, 'ok'))
  let app = await home.open({ approvalWaitMilliseconds: 50 })
  try {
    const definition = { ...definitionOf('restarted'), endpoint: service.origin }
    const row = { table: 'service', id: 'restarted', body: { definition, createdAt: 1 } } as const
    await app.records.commit([row], { actor: 'test', action: 'service.add' })
    const environment = 'dev'
    const fields = { key: new Secret('key', Buffer.from(madeUp())) }
    const credential = {
      name: 'one',
      environment,
      service: 'restarted',
      fields,
      owner: null,
      sensitivity: 'low',
    } as const
    const { id: credentialId } = await app.credentials.add(credential, 'test')
    const { id: agentId } = await app.agents.add({ name: 'ada', environment, owner: null }, 'test')
    const grant = {
      agentId,
      credentialId,
      allow: ['*'],
      deny: [],
      limits: {},
      approve: 'always',
      expiresAt: null,
    } as const
    await app.grants.add(grant, 'test')
    const login = { agentId, ttlSeconds: 3_600, egress: null, binding: { kind: 'unbound' } } as const
    const { placeholders } = await app.sessions.issue(login, 'test')
    const send = async () =>
      fetch(`http://${app.gatewayAddress}/s/restarted/x`, {
        method: 'POST',
        body: 'one',
        headers: { authorization: `Bearer ${placeholders[0]?.text}` },
      })
    const { approval } = (await (await send()).json()) as { approval: string }
    await app.approvals.answer(approval, 'accept', 'operator:person')
    await app.close()
    app = await home.open({ approvalWaitMilliseconds: 50 })
    const again = await send()
    expect([again.status, again.headers.get('keyward-error')]).toEqual([403, 'approval_required'])
    expect(service.got).toEqual([])
  } finally {
    await app.close()
    await service.close()
    home.remove()
  }
})

function definitionOf(id: string) {
  const variables = { fields: {} }
  const inject = [{ kind: 'bearer' }]
  const facts = { checked: 'documented', source: 'test' }
  return {
    id,
    name: id,
    hosts: [`${id}.example.test`],
    fields: { key: 'secret' },
    inject,
    variables,
    operations: [],
    ...facts,
  }
}
