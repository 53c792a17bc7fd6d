import { afterAll, beforeAll, expect } from 'vitest'
import { frame, headersFrames, type Fields } from '../e2e/gateway/h2-wire.ts'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { requestFields, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { ask, bearer, outcomeOf, rawH2, rawRequest, textFronts } from './asking.ts'

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

/** Heads that are refused before any body is read. */
const heads: readonly [name: string, lines: string][] = [
  ['CL.TE', 'Content-Length: 6\r\nTransfer-Encoding: chunked\r\n'],
  ['TE.CL', 'Transfer-Encoding: chunked\r\nContent-Length: 3\r\n'],
  ['CL twice', 'Content-Length: 5\r\nContent-Length: 5\r\n'],
  ['CL twice, differing', 'Content-Length: 5\r\nContent-Length: 6\r\n'],
  ['CL as a list', 'Content-Length: 5, 5\r\n'],
  ['CL with a sign', 'Content-Length: +5\r\n'],
  ['CL in hexadecimal', 'Content-Length: 0x5\r\n'],
  ['CL with a leading zero', 'Content-Length: 05\r\n'],
  ['CL beyond 64 bits', 'Content-Length: 18446744073709551621\r\n'],
  ['CL beyond what a number holds', 'Content-Length: 9007199254740993\r\n'],
  ['CL empty', 'Content-Length: \r\n'],
  ['CL with a tab before the colon', 'Content-Length\t: 5\r\n'],
  ['TE: xchunked', 'Transfer-Encoding: xchunked\r\n'],
  ['TE: chunked, identity', 'Transfer-Encoding: chunked, identity\r\n'],
  ['TE: identity', 'Transfer-Encoding: identity\r\n'],
  ['TE: gzip, chunked', 'Transfer-Encoding: gzip, chunked\r\n'],
  ['TE: chunked, chunked', 'Transfer-Encoding: chunked, chunked\r\n'],
  ['TE with a parameter', 'Transfer-Encoding: chunked;q=1\r\n'],
  ['TE in quotes', 'Transfer-Encoding: "chunked"\r\n'],
  ['TE twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'],
  ['TE twice, identity first', 'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n'],
  ['TE with a vertical tab', 'Transfer-Encoding:\x0bchunked\r\n'],
  ['TE with a NUL', 'Transfer-Encoding: chunked\0\r\n'],
  ['TE with a space before the colon', 'Transfer-Encoding : chunked\r\n'],
  ['TE on a folded line', 'Transfer-Encoding:\r\n chunked\r\n'],
  ['TE behind a fold', 'X-One: a\r\n Transfer-Encoding: chunked\r\n'],
  ['transfer_encoding', 'Transfer_Encoding: chunked\r\n'],
  ['content_length', 'Content_Length: 5\r\n'],
  ['a fold', 'X-One: a\r\n\tb\r\n'],
  ['a bare line feed', 'X-One: a\nTransfer-Encoding: chunked\r\n'],
  ['a bare carriage return', 'X-One: a\rTransfer-Encoding: chunked\r\n'],
]

const chunk = 'Transfer-Encoding: chunked\r\n'
/** Bodies that are no chunks. */
const bodies: readonly [name: string, body: string][] = [
  ['a size with a sign', '+5\r\nhello\r\n0\r\n\r\n'],
  ['a size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['a size behind a space', ' 5\r\nhello\r\n0\r\n\r\n'],
  ['a size before a space', '5 \r\nhello\r\n0\r\n\r\n'],
  ['a size that is none', 'x\r\nhello\r\n0\r\n\r\n'],
  ['no size', '\r\nhello\r\n0\r\n\r\n'],
  ['a size beyond 64 bits', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
  ['a bare line feed behind a size', '5\nhello\r\n0\r\n\r\n'],
  ['a bare carriage return behind a size', '5\rhello\r\n0\r\n\r\n'],
  ['a bare line feed in an extension', '5;\nhello\r\n0\r\n\r\n'],
  ['a long extension', `5;${'a'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`],
  ['a chunk longer than its size', '4\r\nhello\r\n0\r\n\r\n'],
  ['a chunk shorter than its size', '6\r\nhello\r\n0\r\n\r\n'],
  ['a chunk without its end', '5\r\nhello0\r\n\r\n'],
  ['a chunk that ends with a line feed', '5\r\nhello\n0\r\n\r\n'],
  ['a trailer with a fold', '5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n'],
  ['a trailer without a colon', '5\r\nhello\r\n0\r\nX\r\n\r\n'],
  ['a trailer with a bare line feed', '5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n'],
  ['trailers without end', `5\r\nhello\r\n0\r\n${'X: a\r\n'.repeat(20_000)}`],
]

attack('P2', 'a body of two lengths is refused, and the connection ends', textFronts, async (front) => {
  for (const [name, lines] of heads) {
    const before = upstream.received().length
    const wire = await stage.open(front.door, echo.host, login)
    const smuggled = rawRequest(stage, front, { held: echo, login, target: '/smuggled' })
    wire.write(
      rawRequest(stage, front, {
        held: echo,
        login,
        method: 'POST',
        lines,
        body: `0\r\n\r\n${smuggled.toString('latin1')}`,
      }),
    )
    const answer = await wire.answer()
    expect({ name, status: answer.status, outcome: outcomeOf(answer) }).toEqual({
      name,
      status: 400,
      outcome: 'request_malformed',
    })
    // What stands behind it may be refused once more; it is never served.
    for (let next = await wire.answer().catch(() => null); next !== null; next = await wire.answer().catch(() => null))
      expect(outcomeOf(next), name).toBe('request_malformed')
    await wire.closed
    expect(upstream.received().length, name).toBe(before)
  }
})

attack('P2', 'what is no chunk is not read on', textFronts, async (front) => {
  for (const [name, body] of bodies) {
    const count = upstream.got.length
    const wire = await stage.open(front.door, echo.host, login)
    const smuggled = rawRequest(stage, front, { held: echo, login, target: '/smuggled' })
    wire.write(
      Buffer.concat([rawRequest(stage, front, { held: echo, login, method: 'POST', lines: chunk, body }), smuggled]),
    )
    const answer = await wire.answer().catch(() => null)
    if (answer !== null) expect(outcomeOf(answer), name).toBe('request_malformed')
    await wire.closed
    // It may have begun on its way up; it must not have become a whole request there, nor anything behind it.
    expect(upstream.got.slice(count), name).toEqual([])
    expect(upstream.received().includes('/smuggled'), name).toBe(false)
  }
})

const h2Fronts = fronts.filter(({ protocol }) => protocol === 'h2')

/** Fields that HTTP/1.1 would read as framing, and frames that do not add up. */
const streams: readonly [name: string, fields: Fields, frames: (readonly [text: string, ends: boolean])[]][] = [
  ['a length longer than what comes', [['content-length', '50']], [['hello', true]]],
  ['a length shorter than what comes', [['content-length', '3']], [['hello', true]]],
  ['a length of nothing', [['content-length', '0']], [['GET /smuggled HTTP/1.1\r\n\r\n', true]]],
  [
    'two lengths',
    [
      ['content-length', '5'],
      ['content-length', '6'],
    ],
    [['hello', true]],
  ],
  [
    'two lengths alike',
    [
      ['content-length', '5'],
      ['content-length', '5'],
    ],
    [['hello', true]],
  ],
  ['a length that is none', [['content-length', '+5']], [['hello', true]]],
  ['a length as a list', [['content-length', '5, 5']], [['hello', true]]],
  ['transfer-encoding', [['transfer-encoding', 'chunked']], [['0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n', true]]],
  ['transfer_encoding', [['transfer_encoding', 'chunked']], [['0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n', true]]],
  [
    'connection',
    [
      ['connection', 'content-length'],
      ['content-length', '5'],
    ],
    [['hello', true]],
  ],
  ['upgrade', [['upgrade', 'h2c']], [['hello', true]]],
  ['te of another kind', [['te', 'gzip']], [['hello', true]]],
  ['a pseudo-header that nobody knows', [[':x', 'b']], [['hello', true]]],
  [
    'a pseudo-header behind a field',
    [
      ['x', 'a'],
      [':method', 'GET'],
    ],
    [['hello', true]],
  ],
]

attack(
  'P2',
  'a stream whose length does not add up never becomes a request of that length',
  h2Fronts,
  async (front) => {
    for (const [name, fields, frames] of streams) {
      const count = upstream.got.length
      const before = upstream.received().length
      const wire = await rawH2(stage, front, echo.host, login)
      const base = requestFields(stage, {
        door: front.door,
        held: echo,
        login,
        method: 'POST',
        target: '/v1',
        headers: [bearer(login, echo)],
      })
      const body = frames.map(([text, ends]) => frame(0, ends ? 1 : 0, 1, Buffer.from(text, 'latin1')))
      wire.write(
        Buffer.concat([
          headersFrames(1, [...base, ...fields], false),
          ...body,
          frame(6, 0, 0, Buffer.from('the last')),
        ]),
      )
      // The echo of the PING comes behind everything that was said of the stream before it.
      let heard = Buffer.alloc(0)
      while (!heard.includes('the last')) {
        const piece = await wire.more()
        if (piece === null) break
        heard = Buffer.concat([heard, piece])
      }
      wire.close()
      // Whatever was begun before this one has arrived by now.
      expect(outcomeOf(await ask(stage, front, { held: echo, login, target: '/last' })), name).toBe('answered 200')
      expect(
        upstream.got.slice(count).map(({ target }) => target),
        name,
      ).toEqual(['/last'])
      expect(upstream.received().subarray(before).includes('/smuggled'), name).toBe(false)
    }
  },
)

attack('P2', 'a line break in a field is no line break anywhere', h2Fronts, async (front) => {
  const before = upstream.received().length
  for (const value of [
    'a\r\nx-injected: 1',
    'a\nx-injected: 1',
    'a\rx-injected: 1',
    'a\0x-injected: 1',
    'a\r\n\r\nGET /smuggled HTTP/1.1',
  ])
    for (const at of ['x-value', 'cookie', 'content-type', ':path', ':authority']) {
      const answer = stage.request({
        door: front.door,
        protocol: 'h2',
        held: echo,
        login,
        headers: [bearer(login, echo), [at, at === ':path' ? `/${value}` : value]],
      })
      await answer.then(outcomeOf, () => 'reset')
    }
  const sent = upstream.received().subarray(before).toString('latin1')
  expect(sent).not.toMatch(/\r\n(?:x-injected|GET \/smuggled)/i)
  expect(sent).not.toContain('x-injected')
})
