import { afterAll, beforeAll, expect } from 'vitest'
import { attack, fronts } from './attack.ts'
import { allOf, expectNoPiece, openScene, type Scene } from './scene.ts'
import { encodings } from './encodings.ts'

/** R4: the echo in every writing from which the value can be had back by a rule. */

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

for (const { name, write, read } of encodings)
  attack('R4', name, fronts, async (front) => {
    const secret = scene.echo.secret()
    const written = write(Buffer.from(secret))
    // The writing is one that gives the secret back: otherwise this would hold for nothing.
    expect(read(written).some((text) => text.includes(secret))).toBe(true)
    for (const place of [`${written}`, `{"token":"${written}"}`, `first ${written} second ${written}\n`]) {
      scene.answer((_request, response) => response.end(`before\n${place}\nafter`))
      const answer = await scene.ask(front)
      expect(answer.status).toBe(200)
      const body = answer.body.toString('latin1')
      expect(body.startsWith('before\n') && body.endsWith('\nafter')).toBe(true)
      for (const reading of [allOf(answer), ...read(answer.body.toString())]) expectNoPiece(reading, secret, name)
    }
  })
