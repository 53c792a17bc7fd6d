import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { REPORTED_AGAIN_MILLISECONDS } from '../../../src/gateway/misplaced.ts'
import { openStage, type Stage } from './harness.ts'
import { doors, type Door, type Held, type Login } from './requests.ts'
import { startUpstream, type Upstream } from './upstream.ts'

/** A placeholder where it has no business is sent on as it is, and the journal names whose it was. */

let stage: Stage
let upstream: Upstream
let chat: Held
let other: Held
let login: Login
let neighbour: Login
beforeAll(async () => {
  upstream = await startUpstream((_request, response, { body }) => response.end(body))
  stage = await openStage()
  chat = await stage.hold({ id: 'chat', endpoint: upstream.origin })
  other = await stage.hold({ id: 'other', endpoint: upstream.origin })
  await stage.hold({ id: 'theirs', endpoint: upstream.origin, agent: 'neighbour' })
  neighbour = await stage.login('neighbour')
})
/** Reports are remembered by session. */
beforeEach(async () => {
  login = await stage.login('triage')
})
afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const findings = async (): Promise<Record<string, unknown>[]> => {
  // What nobody waits for is written a moment later; the next entry of this kind brings it along.
  const found = await stage.entries({ kind: 'finding' })
  return found.map(({ event }) => ({ ...event }))
}

const ask = (door: Door, options: { readonly target?: string; readonly body?: string; readonly note?: string }) =>
  stage.request({
    door,
    held: chat,
    login,
    method: 'POST',
    target: options.target ?? '/v1/chat',
    headers: [
      ['Authorization', `Bearer ${login.placeholder(chat)}`],
      ...(options.note === undefined ? [] : [['X-Note', options.note] as const]),
    ],
    body: options.body ?? '{}',
  })

async function newFindings(act: () => Promise<unknown>, count: number): Promise<Record<string, unknown>[]> {
  const before = (await findings()).length
  await act()
  await expect.poll(async () => (await findings()).length).toBe(before + count)
  return (await findings()).slice(before)
}

describe.each(doors)('%s', (door) => {
  test('in a conversation: reported once, sent as it is, and the calls go on', async () => {
    const body = JSON.stringify({ messages: [{ role: 'user', content: `use ${login.placeholder(other)}` }] })
    const [found] = await newFindings(async () => {
      for (let call = 0; call < 3; call++) {
        const answer = await ask(door, { body })
        expect(answer.status).toBe(200)
        expect(upstream.got.at(-1)?.body.toString()).toBe(body)
      }
    }, 1)
    expect(found).toMatchObject({
      finding: 'placeholder_misplaced',
      agent: 'triage',
      session: login.id,
      ownerAgent: 'triage',
      ownerSession: login.id,
      where: 'body',
      host: chat.host,
    })
    expect(JSON.stringify(found)).not.toContain(login.placeholder(other))
  })

  test('in a header and in the target; its own place is none of these', async () => {
    const found = await newFindings(() => ask(door, { note: `a ${login.placeholder(other)}`, body: 'nothing' }), 1)
    expect(found).toMatchObject([{ where: 'x-note' }])
    const more = await newFindings(() => ask(door, { target: `/v1/x?key=${login.placeholder(other)}` }), 1)
    expect(more).toMatchObject([{ where: 'target' }])
  })

  test('a token of a neighbour, encoded, in a body', async () => {
    const body = Buffer.from(`token ${neighbour.token}`).toString('base64')
    const found = await newFindings(() => ask(door, { body }), 1)
    expect(found).toMatchObject([
      { finding: 'token_misplaced', agent: 'triage', ownerAgent: 'neighbour', ownerSession: neighbour.id },
    ])
    expect(JSON.stringify(found)).not.toContain(neighbour.token)
  })

  test('a body that streams is watched as it passes', async () => {
    const body = `${'x'.repeat(200_000)} ${login.placeholder(other)} ${'y'.repeat(200_000)}`
    const found = await newFindings(async () => {
      expect((await ask(door, { body })).body.toString()).toBe(body)
    }, 1)
    expect(found).toMatchObject([{ where: 'body' }])
  })
})

test('what only looks like one is nobody’s, and not reported', async () => {
  const looks = login.placeholder(other)
  const changed = `${looks.slice(0, -8)}${looks.slice(-8).split('').toReversed().join('')}`
  const found = await newFindings(async () => {
    await ask('base-url', { body: changed })
    await ask('base-url', { body: looks })
  }, 1)
  expect(found).toHaveLength(1)
})

test('after a while it is reported again', async () => {
  const body = login.placeholder(other)
  await newFindings(() => ask('base-url', { body }), 1)
  stage.advance(REPORTED_AGAIN_MILLISECONDS - 1_000)
  await newFindings(() => ask('base-url', { body }), 0)
  stage.advance(2_000)
  await newFindings(() => ask('base-url', { body }), 1)
})
