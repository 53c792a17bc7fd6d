import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect } from 'vitest'
import { answerOf } from '../e2e/gateway/h2-wire.ts'
import { requestBytes, requestFields, type Ask, type Held } from '../e2e/gateway/requests.ts'
import { startRawUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { header } from '../e2e/gateway/wire.ts'
import { attack, fronts } from './attack.ts'
import { allOf, bearer, expectNoPiece, openScene, type Scene } from './scene.ts'

/** R6: the echo stands in the head, behind the body, or before the answer. */

let scene: Scene
let raw: Upstream
let loud: Held
let says = ''

beforeAll(async () => {
  scene = await openScene()
  raw = await startRawUpstream((socket) => socket.on('data', () => socket.write(Buffer.from(says, 'latin1'))))
  loud = await scene.stage.hold({ id: 'loud', endpoint: raw.origin })
})
afterAll(async () => {
  await scene.close()
  await raw.close()
})

/** Each with the value in it as a service would write it there. */
const headers: readonly [name: string, write: (secret: string) => string][] = [
  ['Location', (secret) => `https://elsewhere.example.test/cb?token=${encodeURIComponent(secret)}#${secret}`],
  ['Set-Cookie', (secret) => `session=${secret}; Path=/; HttpOnly`],
  ['Set-Cookie', (secret) => `auth="${Buffer.from(`user:${secret}`).toString('base64')}"; Secure`],
  ['WWW-Authenticate', (secret) => `Bearer realm="api", error_description="token ${secret} has expired"`],
  ['Authentication-Info', (secret) => `nextnonce="${secret}"`],
  [
    'Link',
    (secret) => `<https://api.example.test/items?page=2&access_token=${encodeURIComponent(secret)}>; rel="next"`,
  ],
  ['Content-Location', (secret) => `/items?key=${encodeURIComponent(secret)}`],
  ['Content-Disposition', (secret) => `attachment; filename*=UTF-8''${encodeURIComponent(secret)}.txt`],
  ['ETag', (secret) => `"${Buffer.from(secret).toString('hex')}"`],
  ['Refresh', (secret) => `0; url=/?${secret}`],
  ['Server-Timing', (secret) => `auth;desc="${secret}"`],
  ['Warning', (secret) => `299 - "${secret}"`],
  ['X-Request-Authorization', (secret) => `Bearer ${secret}`],
  ['X-Echo', (secret) => JSON.stringify({ authorization: secret })],
  ['Access-Control-Allow-Origin', (secret) => secret],
]

attack('R6', 'headers, one by one and all of them', fronts, async (front) => {
  const secret = scene.echo.secret()
  for (const some of [...headers.map((one) => [one]), headers]) {
    scene.answer((_request, response) => {
      for (const [name, write] of some) response.appendHeader(name, write(secret))
      response.writeHead(302)
      response.end('x')
    })
    const answer = await scene.ask(front)
    expect(answer.status).toBe(302)
    for (const [name] of some) expect(header(answer, name.toLowerCase()), name).toBeDefined()
    for (const reading of readings(allOf(answer))) expectNoPiece(reading, secret, some.map(([name]) => name).join())
  }
})

attack('R6', 'the name of a header', fronts, async (front) => {
  // Field names know no letter case, and HTTP/2 sends them small: either is a reading of the secret.
  const secret = await lettersOnly()
  scene.answer((_request, response) => {
    response.setHeader(`X-${secret.text}`, '1')
    response.end('x')
  })
  const answer = await scene.ask(front)
  expect(answer.status).toBe(200)
  expectNoPiece(allOf(answer), secret.text, 'as it is')
  expectNoPiece(allOf(answer).toLowerCase(), secret.text.toLowerCase(), 'in small letters')
})

attack('R6', 'trailers', fronts, async (front) => {
  const secret = scene.echo.secret()
  scene.answer((_request, response) => {
    response.writeHead(200, { trailer: 'x-checksum, x-late' })
    response.write('x')
    response.addTrailers({ 'x-checksum': `sha256 ${secret}`, 'x-late': Buffer.from(secret).toString('base64') })
    response.end()
  })
  const answer = await scene.ask(front)
  expect(answer.trailers.map(([name]) => name)).toContain('x-checksum')
  for (const reading of readings(allOf(answer))) expectNoPiece(reading, secret)
})

attack('R6', 'the reason phrase', fronts, async (front) => {
  const login = await scene.stage.login('triage')
  says = `HTTP/1.1 401 ${loud.secret()} is not valid\r\nContent-Length: 0\r\n\r\n`
  const answer = await scene.stage.request({
    ...front,
    held: loud,
    login,
    headers: [bearer(login.placeholder(loud))],
  })
  expect(answer.status).toBe(401)
  expectNoPiece(allOf(answer), loud.secret())
})

attack('R6', 'interim answers', fronts, async (front) => {
  const login = await scene.stage.login('triage')
  const secret = loud.secret()
  says = [
    `HTTP/1.1 102 ${secret}\r\nX-Echo: ${secret}\r\n\r\n`,
    `HTTP/1.1 103 Early Hints\r\nLink: </${encodeURIComponent(secret)}>; rel=preload\r\nX-Echo: Bearer ${secret}\r\n\r\n`,
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  ].join('')
  const ask: Ask = { ...front, held: loud, login, headers: [bearer(login.placeholder(loud))] }
  const text = await (front.protocol === 'h2' ? everythingOverH2(ask) : everythingOverHttp1(ask))
  // It came, and without the secret.
  expect(text).toMatch(/103[^]*x-echo[^]*200[^]*ok$/i)
  for (const reading of readings(text)) expectNoPiece(reading, secret)
})

/** All bytes of the answer up to its body, as they came. */
async function everythingOverHttp1(ask: Ask): Promise<string> {
  const wire = await scene.stage.open(ask.door, loud.host, ask.login ?? scene.login)
  wire.write(requestBytes(scene.stage, ask))
  let text = ''
  while (!text.endsWith('\r\n\r\nok')) {
    const more = await wire.more()
    if (more === null) throw new Error('The connection ended before the answer.')
    text += more.toString('latin1')
  }
  wire.close()
  return text
}

/** All fields of all blocks of headers, and the body. */
async function everythingOverH2(ask: Ask): Promise<string> {
  const wire = await scene.stage.openH2(ask.door, loud.host, ask.login ?? scene.login)
  const stream = wire.stream(requestFields(scene.stage, ask))
  const said: string[] = []
  stream.on('headers', (_headers: unknown, _flags: number, raw: readonly string[]) => said.push(...raw))
  const answer = await answerOf(stream)
  wire.close()
  return [...said, answer.status, allOf(answer), answer.body.toString()].join('\n')
}

/** A secret of letters and digits alone, which may stand in the name of a header. */
async function lettersOnly(): Promise<{ text: string }> {
  const text = `Kq${randomBytes(20).toString('hex')}Zz`
  await scene.stage.hold({
    id: `named-${text.slice(2, 10).toLowerCase()}`,
    endpoint: scene.upstream.origin,
    values: { key: text },
  })
  return { text }
}

/** The text, and what comes of it when percent escapes, base64 and hexadecimal are undone. */
function readings(text: string): string[] {
  return [
    text,
    text.replaceAll(/%([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    ...[...text.matchAll(/[A-Za-z0-9+/_-]{16,}/g)].flatMap(([run]) =>
      [0, 1, 2, 3].map((skip) => Buffer.from(run.slice(skip), 'base64').toString('latin1')),
    ),
    ...[...text.matchAll(/[0-9a-f]{16,}/gi)].map(([run]) => Buffer.from(run, 'hex').toString('latin1')),
  ]
}
