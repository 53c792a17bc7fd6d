import { afterAll, beforeAll, expect } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { allOf, expectNoPiece, openScene, type Scene } from './scene.ts'

/** R9, R10, R16: a placeholder where no credential belongs is text like any other. */

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

const placeholder = (): string => scene.login.placeholder(scene.echo)

/** Of everything that the last request brought, the secret stands in the one header alone. */
function expectOnlyInPlace(): void {
  const got = scene.upstream.got.at(-1)
  expect(got?.headers.authorization).toBe(`Bearer ${scene.echo.secret()}`)
  const others = (got?.rawHeaders ?? []).filter((text) => text !== `Bearer ${scene.echo.secret()}`)
  expectNoPiece([got?.target, ...others, got?.body.toString('latin1')].join('\n'), scene.echo.secret(), 'swapped')
}

const bodies: readonly [type: string, write: (text: string) => string][] = [
  ['application/json', (text) => JSON.stringify({ api_key: text, note: [text, { text }] })],
  ['application/x-www-form-urlencoded', (text) => new URLSearchParams({ api_key: text }).toString()],
  ['text/plain', (text) => text],
  ['application/json', (text) => JSON.stringify(text).replaceAll('-', '\\u002d')],
  ['text/plain', (text) => Buffer.from(`key: ${text}`).toString('base64')],
  [
    'multipart/form-data; boundary=b',
    (text) => `--b\r\nContent-Disposition: form-data; name="${text}"\r\n\r\n${text}\r\n--b--\r\n`,
  ],
]

attack('R9', 'in a body, in every usual writing, with a complaint that quotes it', fronts, async (front) => {
  scene.answer((_request, response, got) => {
    response.writeHead(400, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ error: `invalid field: ${got.body.toString()}` }))
  })
  for (const [type, write] of bodies) {
    const body = write(placeholder())
    const answer = await scene.ask(front, {
      method: 'POST',
      target: '/v1/things',
      headers: [['Content-Type', type]],
      body,
    })
    expect(answer.status).toBe(400)
    expect(scene.upstream.got.at(-1)?.body.toString(), type).toBe(body)
    expectOnlyInPlace()
    expectNoPiece(allOf(answer), scene.echo.secret())
    expect(JSON.parse(answer.body.toString())).toEqual({ error: `invalid field: ${body}` })
  }
})

attack('R9', 'in a body behind more than any window would hold, in chunks', fronts, async (front) => {
  scene.answer((_request, response, got) => response.end(got.body.subarray(-200)))
  const body = `${'x'.repeat(300_000)}${placeholder()}`
  const answer = await scene.ask(front, { method: 'POST', body })
  expect(scene.upstream.got.at(-1)?.body.toString()).toBe(body)
  expectOnlyInPlace()
  expectNoPiece(allOf(answer), scene.echo.secret())
})

const elsewhere = [
  'User-Agent',
  'Origin',
  'Referer',
  'X-Request-Id',
  'Cookie',
  'Accept-Language',
  'From',
  'If-Match',
  'Traceparent',
  'Baggage',
  'X-Api-Key',
  'Api-Key',
  'X-Auth-Token',
  'X-Goog-Api-Key',
  'Content-Type',
]

attack('R10', 'in a header that is no place of this service, echoed', fronts, async (front) => {
  scene.answer((_request, response, got) => {
    response.setHeader('x-request-id', got.headers['x-request-id'] ?? '')
    // As /cdn-cgi/trace does.
    response.end(`h=${got.headers.host}\nuag=${got.headers['user-agent']}\n${JSON.stringify(got.headers)}`)
  })
  for (const name of elsewhere) {
    const value = `first ${placeholder()} second`
    const answer = await scene.ask(front, { headers: [[name, value]] })
    expect(answer.status, name).toBe(200)
    expect(scene.upstream.got.at(-1)?.headers[name.toLowerCase()], name).toBe(value)
    expectOnlyInPlace()
    expectNoPiece(allOf(answer), scene.echo.secret(), name)
  }
})

attack('R10', 'in path, query and the name of a header', fronts, async (front) => {
  scene.answer((_request, response, got) => response.end(JSON.stringify([got.target, got.rawHeaders])))
  for (const target of [`/v1/${placeholder()}`, `/v1?key=${placeholder()}&access_token=${placeholder()}`]) {
    const answer = await scene.ask(front, { target })
    expect(scene.upstream.got.at(-1)?.target).toBe(target)
    expectOnlyInPlace()
    expectNoPiece(allOf(answer), scene.echo.secret())
  }
  await scene.ask(front, { headers: [[`X-${placeholder()}`, '1']] })
  expectOnlyInPlace()
})

attack('R16', 'stored in a gist, an issue or a mail, and read back', fronts, async (front) => {
  let stored: Buffer = Buffer.alloc(0)
  scene.answer((request, response, got) => {
    if (request.method === 'POST') stored = got.body
    response.writeHead(request.method === 'POST' ? 201 : 200, { 'content-type': 'application/json' })
    response.end(stored)
  })
  for (const [type, write] of bodies) {
    const body = write(placeholder())
    await scene.ask(front, { method: 'POST', target: '/gists', headers: [['Content-Type', type]], body })
    expect(stored.toString(), 'what the service keeps').toBe(body)
    const answer = await scene.ask(front, { target: '/gists/1' })
    expect(answer.body.toString()).toBe(body)
    expectNoPiece(allOf(answer), scene.echo.secret())
  }
})

attack('R16', 'more often than once in the place of the credential', fronts, async (front) => {
  const before = scene.upstream.received().length
  for (const headers of [
    [['Authorization', `Bearer ${placeholder()}`]],
    [['AUTHORIZATION', `Basic ${Buffer.from(`x:${placeholder()}`).toString('base64')}`]],
  ] as const) {
    const answer = await scene.ask(front, { headers })
    expect([answer.status, codeOf(answer)]).toEqual([400, 'placeholder_ambiguous'])
  }
  expect(scene.upstream.received().length).toBe(before)
})

attack('R16', 'twice within the one header', fronts, async (front) => {
  const before = scene.upstream.received().length
  for (const value of [
    `Bearer ${placeholder()} ${placeholder()}`,
    `Bearer ${placeholder()},${placeholder()}`,
    `Bearer ${placeholder()}${placeholder()}`,
  ]) {
    const answer = await scene.stage.request({
      ...front,
      held: scene.echo,
      login: scene.login,
      headers: [['Authorization', value]],
    })
    expect(answer.status).toBe(401)
    expect(['token_invalid', 'placeholder_required']).toContain(codeOf(answer))
  }
  expect(scene.upstream.received().length).toBe(before)
})
