import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { ask, askRaw, bearer, expectNothingOf, outcomeOf, textFronts } from './asking.ts'

let stage: Stage
let upstream: Upstream
let echo: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

function bodies(): [name: string, body: Buffer, headers: readonly (readonly [string, string])[]][] {
  const text = `{"key":"${login.placeholder(echo)}"}`
  const filler = 'x'.repeat(200_000)
  return [
    ['small', Buffer.from(text), []],
    ['behind 200,000 bytes', Buffer.from(filler + text), []],
    ['before 200,000 bytes', Buffer.from(text + filler), []],
    ['across the bound of whole bodies', Buffer.from('x'.repeat(65_536 - 20) + text), []],
    ['gzip', gzipSync(text), [['Content-Encoding', 'gzip']]],
    ['br', brotliCompressSync(text), [['Content-Encoding', 'br']]],
    ['deflate', deflateSync(text), [['Content-Encoding', 'deflate']]],
    ['zstd', zstdCompressSync(text), [['Content-Encoding', 'zstd']]],
    ['a coding that lies', Buffer.from(text), [['Content-Encoding', 'gzip']]],
    [
      'multipart',
      Buffer.from(`--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n${login.placeholder(echo)}\r\n--b--\r\n`),
      [['Content-Type', 'multipart/form-data; boundary=b']],
    ],
    [
      'form',
      Buffer.from(`key=${login.placeholder(echo)}&authorization=Bearer+${login.placeholder(echo)}`),
      [['Content-Type', 'application/x-www-form-urlencoded']],
    ],
    ['UTF-16', Buffer.from(text, 'utf16le'), [['Content-Type', 'application/json; charset=utf-16le']]],
  ]
}

attack('P8', 'a placeholder in a body is never swapped, however large or coded the body is', fronts, async (front) => {
  for (const [name, body, headers] of bodies()) {
    const answer = await ask(stage, front, {
      held: echo,
      login,
      method: 'POST',
      headers: [bearer(login, echo), ...headers],
      body,
    })
    expect(outcomeOf(answer), name).toBe('answered 200')
    const got = upstream.got.at(-1)
    // Byte for byte what the agent wrote: nothing was put in, and nothing was lost.
    expect(got?.body.equals(body), name).toBe(true)
    expect(got?.headers.authorization, name).toBe(`Bearer ${echo.secret()}`)
    expectNothingOf(echo, got?.body ?? '')
  }
})

attack('P8', 'nor in a body of chunks, wherever they are cut', textFronts, async (front) => {
  const text = `{"key":"${login.placeholder(echo)}"}`
  for (const size of [1, 3, 7, text.length]) {
    let chunks = ''
    for (let at = 0; at < text.length; at += size) {
      const piece = text.slice(at, at + size)
      chunks += `${piece.length.toString(16)}\r\n${piece}\r\n`
    }
    const answer = await askRaw(stage, front, {
      held: echo,
      login,
      method: 'POST',
      lines: 'Transfer-Encoding: chunked\r\n',
      body: `${chunks}0\r\n\r\n`,
    })
    expect(outcomeOf(answer)).toBe('answered 200')
    expect(upstream.got.at(-1)?.body.toString()).toBe(text)
  }
})

attack('P8', 'nor in a trailer', textFronts, async (front) => {
  const count = upstream.received().length
  const answer = await askRaw(stage, front, {
    held: echo,
    login,
    method: 'POST',
    lines: 'Transfer-Encoding: chunked\r\nTrailer: X-Key\r\n',
    body: `5\r\nhello\r\n0\r\nX-Key: ${login.placeholder(echo)}\r\nAuthorization: Bearer ${login.placeholder(echo)}\r\n\r\n`,
  })
  expect(['answered 200', 'request_malformed']).toContain(outcomeOf(answer))
  const sent = upstream.received().subarray(count).toString('latin1')
  expect(sent.split(echo.secret()).length - 1, 'the secret stands once at most').toBeLessThanOrEqual(1)
  expect(sent.slice(sent.indexOf('\r\n\r\n')).includes(echo.secret())).toBe(false)
})
