import { afterAll, beforeAll, expect } from 'vitest'
import { eventually } from '../e2e/gateway/harness.ts'
import { requestBytes, requestFields } from '../e2e/gateway/requests.ts'
import { attack, fronts, type Front } from './attack.ts'
import { bearer, expectNoPiece, openScene, type Scene } from './scene.ts'

/** R11: an answer too long for anybody to hold, with the secret all over it. */

const PIECE_BYTES = 65_536
const PIECES = 96
/** What is read of an answer that has no end. */
const READ_BYTES = 4 * 1_024 * 1_024

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

/** A piece that begins with what the one before had no room for, and ends within the secret, at another byte each time. */
function piece(secret: string, index: number): string {
  const begun = index % secret.length
  const next = (index + 1) % secret.length
  return secret.slice(begun) + '.'.repeat(PIECE_BYTES - (secret.length - begun) - next) + secret.slice(0, next)
}

attack('R11', 'six megabytes, with and without a length, the secret across every piece', fronts, async (front) => {
  const secret = scene.echo.secret()
  const body =
    Array.from({ length: PIECES }, (_, index) => piece(secret, index)).join('') + secret.slice(PIECES % secret.length)
  for (const framing of [{}, { 'content-length': String(body.length) }]) {
    scene.answer((_request, response) => {
      response.writeHead(200, framing)
      for (let at = 0; at < body.length; at += PIECE_BYTES) response.write(body.slice(at, at + PIECE_BYTES))
      response.end()
    })
    const answer = await scene.ask(front)
    expect(answer.whole).toBe(true)
    const text = answer.body.toString('latin1')
    expectNoPiece(text, secret)
    expect(text.split(scene.login.placeholder(scene.echo)).length - 1).toBe(body.split(secret).length - 1)
    expect(text.replaceAll(scene.login.placeholder(scene.echo), secret)).toBe(body)
  }
})

attack('R11', 'an answer without an end, which ends with its reader', fronts, async (front) => {
  const secret = scene.echo.secret()
  const service = { stopped: false }
  scene.answer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    let index = 0
    const go = (): void => {
      while (!service.stopped && response.write(piece(secret, index++)));
    }
    response.on('drain', go)
    response.on('close', () => (service.stopped = true))
    go()
  })
  const { more, close } = await reading(front)
  let seen = ''
  let read = 0
  while (read < READ_BYTES) {
    const bytes = await more()
    if (bytes === null) break
    read += bytes.length
    seen = seen.slice(-secret.length) + bytes.toString('latin1')
    expectNoPiece(seen, secret)
  }
  expect(read).toBeGreaterThanOrEqual(READ_BYTES)
  close()
  await eventually(() => service.stopped)
})

/** A request whose answer is read as it comes, at this front. */
async function reading(front: Front): Promise<{ more: () => Promise<Buffer | null>; close: () => void }> {
  const { stage, echo, login } = scene
  const ask = { ...front, held: echo, login, headers: [bearer(login.placeholder(echo))] }
  if (front.protocol === 'http/1.1') {
    const wire = await stage.open(front.door, echo.host, login)
    wire.write(requestBytes(stage, ask))
    return wire
  }
  const wire = await stage.openH2(front.door, echo.host, login)
  const pieces: AsyncIterator<Buffer> = wire.stream(requestFields(stage, ask))[Symbol.asyncIterator]()
  return {
    more: async () => {
      const next = await pieces.next()
      return next.done === true ? null : next.value
    },
    close: () => wire.close(),
  }
}
