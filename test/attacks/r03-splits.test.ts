import { afterAll, beforeAll, expect } from 'vitest'
import { startH2Upstream, type H2Upstream } from '../e2e/gateway/h2-upstream.ts'
import type { Ask } from '../e2e/gateway/requests.ts'
import { startRawUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import type { Held, Login } from '../e2e/gateway/requests.ts'
import { attack, fronts, type Front } from './attack.ts'
import { allOf, bearer, expectNoPiece, openScene, type Scene } from './scene.ts'

/** R3: the secret arrives in two parts, cut at each of its bytes in turn. */

const PARALLEL = 16
/** Between two parts, so that they arrive as two segments; were they joined on the way, the test would only be weaker. */
const APART_MILLISECONDS = 2

let scene: Scene
let raw: Upstream
let framed: H2Upstream
let cut: Held
let cutInFrames: Held
let login: Login

/** Cuts as the path of the request says: `/chunk/12`, `/segment/12`, `/event/12`. */
beforeAll(async () => {
  scene = await openScene()
  raw = await startRawUpstream((socket) => {
    socket.setNoDelay(true)
    socket.on('data', (bytes: Buffer) => {
      const [, how = '', at = ''] = /^GET \/(\w+)\/(\d+) /.exec(bytes.toString('latin1')) ?? []
      const parts = pieces(how, Number(at), cut.secret())
      socket.write(parts[0] ?? '')
      setTimeout(() => socket.write(parts[1] ?? ''), APART_MILLISECONDS)
    })
  })
  cut = await scene.stage.hold({ id: 'cut', endpoint: raw.origin })
  framed = await startH2Upstream((stream, got) => {
    const at = Number(got.headers.find(([name]) => name === ':path')?.[1]?.slice(1))
    const text = `<${cutInFrames.secret()}>`
    stream.respond({ ':status': 200 })
    stream.write(text.slice(0, at))
    setTimeout(() => stream.end(text.slice(at)), APART_MILLISECONDS)
  })
  cutInFrames = await scene.stage.hold({ id: 'cut-in-frames', endpoint: framed.origin, http2: true })
  login = await scene.stage.login('triage')
})
afterAll(async () => {
  await scene.close()
  await raw.close()
  await framed.close()
})

/** The two writes of an answer that says `<secret>`. */
function pieces(how: string, at: number, secret: string): [string, string] {
  const text = `<${secret}>`
  const head = 'HTTP/1.1 200 OK\r\n'
  const chunk = (part: string) => `${Buffer.byteLength(part).toString(16)}\r\n${part}\r\n`
  if (how === 'segment') return [`${head}Content-Length: ${text.length}\r\n\r\n${text.slice(0, at)}`, text.slice(at)]
  if (how === 'chunk')
    return [`${head}Transfer-Encoding: chunked\r\n\r\n${chunk(text.slice(0, at))}`, `${chunk(text.slice(at))}0\r\n\r\n`]
  const event = `data: {"text":"${text}"}\n\n`
  const within = event.indexOf(text) + at
  return [
    `${head}Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(event.slice(0, within))}`,
    `${chunk(event.slice(within))}0\r\n\r\n`,
  ]
}

const ask = (front: Front, held: Held, target: string): Ask => ({
  ...front,
  held,
  login,
  target,
  headers: [bearer(login.placeholder(held))],
})

async function everyCut(front: Front, how: 'chunk' | 'segment' | 'event' | 'frame'): Promise<void> {
  const held = how === 'frame' ? cutInFrames : cut
  const secret = held.secret()
  const whole = `<${login.placeholder(held)}>`
  const expected = how === 'event' ? `data: {"text":"${whole}"}\n\n` : whole
  // From before its first byte to behind its last.
  const offsets = Array.from({ length: secret.length + 1 }, (_, index) => index + 1)
  for (let from = 0; from < offsets.length; from += PARALLEL) {
    const some = offsets.slice(from, from + PARALLEL)
    const answers = await Promise.all(
      some.map((at) => scene.stage.request(ask(front, held, how === 'frame' ? `/${at}` : `/${how}/${at}`))),
    )
    for (const [index, answer] of answers.entries()) {
      expectNoPiece(allOf(answer), secret, `cut at ${some[index]}`)
      expect(answer.body.toString(), `cut at ${some[index]}`).toBe(expected)
    }
  }
}

attack('R3', 'two chunks, at every byte', fronts, (front) => everyCut(front, 'chunk'))
attack('R3', 'two TCP segments, at every byte', fronts, (front) => everyCut(front, 'segment'))
attack('R3', 'two pieces of one event of a stream, at every byte', fronts, (front) => everyCut(front, 'event'))

// A service is spoken to in HTTP/2 only where the request came over it.
const overH2 = fronts.filter(({ protocol }) => protocol === 'h2')
attack('R3', 'two DATA frames of a service that speaks HTTP/2, at every byte', overH2, async (front) => {
  const before = framed.got.length
  await everyCut(front, 'frame')
  expect(framed.got.length).toBeGreaterThan(before)
})

attack('R3', 'one byte at a time', fronts, async (front) => {
  const secret = scene.echo.secret()
  scene.answer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.socket?.setNoDelay(true)
    for (const byte of Buffer.from(`data: <${secret}>\n\n`)) response.write(Buffer.of(byte))
    response.end()
  })
  const answer = await scene.ask(front)
  expect(answer.body.toString()).toBe(`data: <${scene.login.placeholder(scene.echo)}>\n\n`)
})

/** Events in which services stream a text, and how their reader takes it out. */
const streams: readonly [what: string, type: string, write: (piece: string) => string, read: RegExp][] = [
  [
    'chat completions',
    'text/event-stream',
    (piece) =>
      `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: { content: piece }, finish_reason: null }] })}\n\n`,
    /"content":"([^"]*)"/g,
  ],
  [
    'messages',
    'text/event-stream; charset=utf-8',
    (piece) =>
      `event: content_block_delta\ndata: ${JSON.stringify({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: piece } })}\n\n`,
    /"text":"([^"]*)"/g,
  ],
  [
    'generated content',
    'text/event-stream',
    (piece) =>
      `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text: piece }], role: 'model' } }] })}\r\n\r\n`,
    /"text":"([^"]*)"/g,
  ],
  [
    'lines of JSON',
    'application/x-ndjson',
    (piece) => `${JSON.stringify({ model: 'm', message: { role: 'assistant', content: piece } })}\n`,
    /"content":"([^"]*)"/g,
  ],
]

const lettersOf = (text: string): string => text.replaceAll(/[^A-Za-z0-9]/g, '')

attack('R3', 'a secret divided over events, whose reader joins what they carry', fronts, async (front) => {
  const secret = scene.echo.secret()
  for (const [what, type, write, read] of streams)
    for (const size of [1, 4, 7, Math.ceil(secret.length / 2)]) {
      const stream = (text: string): string[] =>
        Array.from({ length: Math.ceil(text.length / size) }, (_, at) => write(text.slice(at * size, (at + 1) * size)))
      const send = (events: readonly string[]) =>
        scene.answer((_request, response) => {
          response.writeHead(200, { 'content-type': type })
          for (const event of events) response.write(event)
          response.end()
        })
      send(stream(`The key is ${secret}.`))
      const answer = await scene.ask(front).catch(() => null)
      const joined = [...(answer?.body.toString() ?? '').matchAll(read)].map(([, piece]) => piece).join('')
      // What waits is counted in letters: a secret may begin with others.
      expectNoPiece(lettersOf(joined), lettersOf(secret), `${what} of ${size}`)
      const clean = stream('The key is a thing of beauty, and the answer comes one token at a time.')
      send(clean)
      expect((await scene.ask(front)).body.toString(), what).toBe(clean.join(''))
    }
})
