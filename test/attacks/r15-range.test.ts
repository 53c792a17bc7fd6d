import { afterAll, beforeAll, expect } from 'vitest'
import { attack, fronts } from './attack.ts'
import { allOf, expectNoPiece, openScene, type Scene } from './scene.ts'

/** R15: the echo read in pieces, none of which holds enough to be recognised. */

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

/** Answers parts of the echo, as RFC 9110 section 14 lets a service do, whenever a part is asked for. */
function ranged(secret: string): Parameters<Scene['answer']>[0] {
  const text = `authorization: Bearer ${secret}\n`
  return (_request, response, got) => {
    const asked = String(got.headers.range ?? got.headers['request-range'] ?? '')
    const match = /^bytes=(\d+)-(\d+)$/.exec(asked)
    if (match === null) return void response.end(text)
    const [from, to] = [Number(match[1]), Number(match[2])]
    response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${text.length}` })
    response.end(text.slice(from, to + 1))
  }
}

attack('R15', 'one byte after the other, by every header that asks for a part', fronts, async (front) => {
  const secret = scene.echo.secret()
  scene.answer(ranged(secret))
  for (const headers of [
    (range: string) => [['Range', range]] as const,
    (range: string) => [['Request-Range', range]] as const,
    (range: string) =>
      [
        ['Range', range],
        ['If-Range', '"e"'],
      ] as const,
  ]) {
    let joined = ''
    for (let at = 15; at < 40; at++) {
      const answer = await scene.ask(front, { headers: headers(`bytes=${at}-${at}`) })
      joined += answer.body.toString()
      expect(answer.status).toBe(200)
    }
    expectNoPiece(joined, secret, 'joined')
    const got = scene.upstream.got.at(-1)
    for (const name of ['range', 'if-range', 'request-range']) expect(got?.headers[name], name).toBeUndefined()
  }
})

attack('R15', 'parts that nobody asked for, in one answer or one by one', fronts, async (front) => {
  const secret = scene.echo.secret()
  const part = (at: number): string =>
    `--b\r\nContent-Range: bytes ${at}-${at + 5}/99\r\n\r\n${secret.slice(at, at + 6)}\r\n`
  const parts = Array.from({ length: Math.ceil(secret.length / 6) }, (_, index) => part(index * 6))
  scene.answer((_request, response) => {
    response.writeHead(206, { 'content-type': 'multipart/byteranges; boundary=b' })
    response.end(`${parts.join('')}--b--\r\n`)
  })
  const many = allOf(await scene.ask(front))
  const joined = [...many.matchAll(/\r\n\r\n([^\r]*)\r\n--b/g)].map(([, text]) => text).join('')
  expectNoPiece(joined, secret, 'joined from the parts of one answer')

  let collected = ''
  for (let at = 0; at < secret.length; at += 6) {
    scene.answer((_request, response) => {
      response.writeHead(206, { 'content-range': `bytes ${at}-${at + 5}/99` })
      response.end(secret.slice(at, at + 6))
    })
    collected += (await scene.ask(front)).body.toString()
  }
  expectNoPiece(collected, secret, 'joined from answers')
})
