import { expect } from 'vitest'
import { codeOf, type Ask } from '../e2e/gateway/requests.ts'
import { attack, fronts, type Front } from './attack.ts'
import { usePlaces, type Placed } from './place.ts'

/** P14: a request that a condition reads in another way than the service would. Nothing of it leaves. */

const places = usePlaces()
const json: readonly (readonly [string, string])[] = [['Content-Type', 'application/json']]

async function expectRefused(front: Front, where: Placed, requests: readonly Partial<Ask>[]): Promise<void> {
  const before = places.upstream.got.length
  for (const one of requests) {
    const answer = await ask(front, where, one)
    expect(answer.status === 200 ? 'passed' : codeOf(answer), JSON.stringify(one).slice(0, 200)).toBe(
      'condition_not_met',
    )
  }
  expect(places.upstream.got.length).toBe(before)
}

const ask = (front: Front, where: Placed, more: Partial<Ask>) =>
  places.ask(front, where, {
    method: 'POST',
    target: '/v1/chat',
    ...more,
    headers: [['Authorization', `Bearer ${where.login.placeholder(where.held)}`], ...(more.headers ?? json)],
  })

attack('P14', 'names twice, alike, escaped, inherited or hidden in a body', fronts, async (front) => {
  const where = await places.place({ when: 'request.body.model == "small" && request.body.options.n <= 5' })
  const options = '"options":{"n":1}'
  expect((await ask(front, where, { body: `{"model":"small",${options}}` })).status).toBe(200)
  await expectRefused(
    front,
    where,
    [
      `{"model":"large","model":"small",${options}}`,
      `{"model":"small","m\\u006fdel":"large",${options}}`,
      `{"model":"small","Model":"large",${options}}`,
      `{"model":"small","ＭＯＤＥＬ":"large",${options}}`,
      `{"model":"small","model\\u0000":"large",${options}}`,
      `{"model":"small","mo\\u200bdel":"large",${options}}`,
      `{"model":"small",${options},"options":{"n":9}}`,
      `{"model":"small","options":{"n":1,"N":9}}`,
      `{"__proto__":{"model":"small",${options}}}`,
      `{"constructor":{"prototype":{"model":"small"}},${options}}`,
      `{"model":{"toString":"small"},${options}}`,
      `{"model":["small"],${options}}`,
      `{"model":"small","options":{"n":"1"}}`,
      `{"model":"small","options":{"n":5.00000000000000001}}`,
      `{"model":"small","options":{"n":-9007199254740993}}`,
      `{"model":"small","options":{"n":-1e999}}`,
      `{"model":"small","options":{"n":-0x1}}`,
      `{"model":"small","options":{"n":1}}{"model":"large"}`,
      `\uFEFF{"model":"small",${options}}`,
      `{"model":"small",${options},"x":${'['.repeat(100)}${']'.repeat(100)}}`,
      `{"model":"small",${options},"x":[${'0,'.repeat(30_000)}0]}`.replaceAll('0', '{}'),
      `{/* */"model":"small",${options}}`,
      `{'model':'small',${options}}`,
    ].map((body) => ({ body })),
  )
})

attack('P14', 'a body of another type, charset, coding or no type at all', fronts, async (front) => {
  const where = await places.place({ when: 'request.body.model == "small"' })
  const body = '{"model":"small"}'
  await expectRefused(
    front,
    where,
    [
      [['Content-Type', 'text/plain']],
      [['Content-Type', 'application/json; charset=utf-7']],
      [['Content-Type', 'application/json; charset=utf-16']],
      [['Content-Type', 'application/json, text/plain']],
      [['Content-Type', 'multipart/form-data; boundary=x']],
      [['Content-Type', 'application/x-www-form-urlencoded']],
      [...json, ['Content-Encoding', 'gzip']],
      [...json, ['Content-Encoding', 'identity'], ['Content-Encoding', 'br']],
      [],
    ].map((headers) => ({ body, headers: headers.map(([name = '', value = '']) => [name, value] as const) })),
  )
})

attack('P14', 'a parameter twice, as a list, with a semicolon, or in other letters', fronts, async (front) => {
  const where = await places.place({ when: 'request.query.role == "reader"' })
  expect((await ask(front, where, { target: '/x?role=reader' })).status).toBe(200)
  await expectRefused(
    front,
    where,
    [
      'role=reader&role=admin',
      'role=reader&role[]=admin',
      'role=reader&role%5B0%5D=admin',
      'role=reader&ROLE=admin',
      'role=reader;role=admin',
      'role=reader&r%6Fle=admin',
      'role=reader&%EF%BC%B2ole=admin',
      'role=reader&x=%ff',
    ].map((query) => ({ target: `/x?${query}` })),
  )
  const form = await places.place({ when: 'request.body.role == "reader"' })
  const headers = [['Content-Type', 'application/x-www-form-urlencoded']] as const
  expect((await ask(front, form, { headers, body: 'role=reader' })).status).toBe(200)
  await expectRefused(
    front,
    form,
    [
      'role=reader&role=admin',
      'role=reader&role[]=admin',
      'role=reader;role=admin',
      'role=reader&Role=admin',
      'role=reader&ä=1',
    ].map((body) => ({ headers, body })),
  )
})

attack('P14', 'a header twice, with an underscore, or one that is not sent on', fronts, async (front) => {
  const where = await places.place({ when: 'request.headers["x-team"] == "blue" && !("x-admin" in request.headers)' })
  expect((await ask(front, where, { headers: [['X-Team', 'blue']] })).status).toBe(200)
  await expectRefused(
    front,
    where,
    [
      [
        ['X-Team', 'blue'],
        ['x-team', 'red'],
      ],
      [
        ['X-Team', 'blue'],
        ['X_Team', 'red'],
      ],
      [['X_Team', 'blue']],
      [
        ['X-Team', 'blue'],
        ['X_Admin', '1'],
      ],
      // Named by Connection, it would be gone by the time that it arrives.
      ...(front.protocol === 'h2'
        ? []
        : [
            [
              ['X-Team', 'blue'],
              ['Connection', 'x-team'],
            ],
          ]),
    ].map((headers) => ({ headers: headers.map(([name = '', value = '']) => [name, value] as const) })),
  )
  const forwarded = await places.place({ when: 'request.headers["x-forwarded-for"] == "10.0.0.1"' })
  await expectRefused(front, forwarded, [{ headers: [['X-Forwarded-For', '10.0.0.1']] }])
  const address = await places.place({ when: 'source.address.inCidr("10.0.0.0/8")' })
  await expectRefused(front, address, [
    {
      headers: [
        ['X-Forwarded-For', '10.0.0.1'],
        ['Forwarded', 'for=10.0.0.1'],
        ['X-Real-IP', '10.0.0.1'],
      ],
    },
  ])
})

attack('P14', 'a clock or a time zone that the agent sets', fronts, async (front) => {
  const hour = new Date(Date.now() + 3_600_000).getUTCHours()
  const where = await places.place({ when: `hour(now) == ${hour} && minute(now) >= 0` })
  // Unless the hour turns meanwhile, it is another one.
  const at = new Date(Date.now() + (hour - new Date().getUTCHours()) * 3_600_000).toUTCString()
  if (new Date().getUTCMinutes() === 59) return
  await expectRefused(front, where, [
    {
      headers: [...json, ['Date', at], ['Time-Zone', 'Asia/Tokyo'], ['TZ', 'Asia/Tokyo']],
      body: `{"now":"${at}","timeZone":"Asia/Tokyo"}`,
    },
  ])
})

attack('P14', 'a body made to cost: the gateway goes on, and nothing of it passes', fronts, async (front) => {
  const where = await places.place({
    when: 'request.body.a.all(x, request.body.a.all(y, x != y || x == y)) || request.body.text.contains(request.body.piece)',
  })
  const list = `[${Array.from({ length: 10_000 }, (_, index) => index).join(',')}]`
  const text = 'a'.repeat(400_000)
  await expectRefused(front, where, [
    { body: `{"a":${list},"text":"${text}","piece":"${text.slice(0, 200)}b"}` },
    { body: `{"a":[{}],"text":"${text}","piece":"${text}"}` },
  ])
})

attack('P14', 'what a grant denies and asks about does not go away with its condition', fronts, async (front) => {
  const where = await places.place({ when: 'request.body.model == "small"', deny: ['POST /v1/admin'] })
  const { agentId, credentialId } = where.held
  await places.stage.app.grants.add(
    { agentId, credentialId, allow: ['*'], deny: [], limits: {}, expiresAt: null },
    'test',
  )
  const before = places.upstream.got.length
  for (const body of ['{"model":"large"}', '{"model":"small","model":"small"}', 'x'])
    expect(codeOf(await ask(front, where, { target: '/v1/admin', body })), body).toBe('operation_denied')
  expect(places.upstream.got.length).toBe(before)
})
