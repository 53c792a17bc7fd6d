import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces } from './place.ts'

const digest = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Says which key it was asked with, in a form that no scrubber knows, and asks everybody to keep the answer. */
const places = usePlaces((request, response) => {
  response.writeHead(200, { 'cache-control': 'public, max-age=3600', etag: '"one"', vary: 'accept' })
  response.end(digest(request.headers.authorization ?? ''))
})
const own = (secret: string): string => digest(`Bearer ${secret}`)

attack(
  'I3',
  'agents of two environments at one host, mixed: each gets the answer to its own key',
  fronts,
  async (front) => {
    const host = `shared-${front.door}-${front.protocol.replace(/\W/g, '')}.example.test`
    const mine = await places.place({ hosts: [host] })
    const theirs = await places.place({ hosts: [host], environment: 'prod' })
    const before = places.upstream.got.length
    const answers = await Promise.all(
      Array.from({ length: 24 }, async (_, index) => {
        const where = index % 2 === 0 ? mine : theirs
        const answer = await places.ask(front, where, { target: '/same' })
        return { got: answer.body.toString(), want: own(where.held.secret()) }
      }),
    )
    for (const { got, want } of answers) expect(got).toBe(want)
    // Each of them was asked for: nothing is kept for the next, whatever the service would allow.
    expect(places.upstream.got.length).toBe(before + answers.length)
  },
)

attack('I3', 'a key that was replaced is not remembered', fronts, async (front) => {
  const where = await places.place()
  expect((await places.ask(front, where)).body.toString()).toBe(own(where.held.secret()))
  const fresh = `fresh-${own(where.held.secret())}`
  await places.stage.app.credentials.set(where.held.credentialId, { key: Secret.fromText('key', fresh) }, 'test')
  expect((await places.ask(front, where)).body.toString()).toBe(own(fresh))
})
