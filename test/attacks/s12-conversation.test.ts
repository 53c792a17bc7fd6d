import { expect } from 'vitest'
import { FINDINGS_MAXIMUM } from '../../src/gateway/misplaced.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces, type Placed } from './place.ts'

/** Answers as a model does that repeats what it was told. */
const places = usePlaces((_request, response, { body }) => response.end(body))

/** What the journal says of placeholders out of place in this agent's requests. */
const findings = (where: Placed) => places.stage.entries({ kind: 'finding', agent: where.agent })

attack(
  'S12',
  'a chat history that holds placeholders is sent as it is, and later calls go on',
  fronts,
  async (front) => {
    const where = await places.place()
    const other = await places.place()
    const own = where.login.placeholder(where.held)
    const foreign = other.login.placeholder(other.held)
    const messages: { role: string; content: string }[] = []
    for (const text of [
      `my key is ${own}`,
      `export API_KEY=${foreign}`,
      JSON.stringify({ authorization: `Bearer ${own}` }),
      `base64: ${Buffer.from(own).toString('base64')}`,
      'and now something else',
    ]) {
      messages.push({ role: 'user', content: text })
      const body = JSON.stringify({ model: 'any', messages })
      const answer = await places.ask(front, where, {
        method: 'POST',
        target: '/v1/chat/completions',
        body,
        headers: [
          ['Authorization', `Bearer ${own}`],
          ['Content-Type', 'application/json'],
        ],
      })
      expect(answer.status).toBe(200)
      const got = places.upstream.got.at(-1)
      // Byte for byte: a swap in a message would hand the key to the model, which says it to the next who asks.
      expect(got?.body.toString()).toBe(body)
      expect(got?.headers.authorization).toBe(`Bearer ${where.held.secret()}`)
      expect(answer.body.toString()).toBe(body)
      messages.push({ role: 'assistant', content: answer.body.toString().slice(0, 200) })
    }
    // It is reported, and once only: the history comes with every call.
    await expect.poll(() => findings(where)).toHaveLength(2)
    for (const { event } of await findings(where)) {
      expect(event).toMatchObject({ finding: 'placeholder_misplaced', where: 'body' })
      expect([where.agent, other.agent]).toContain(event['ownerAgent'])
      expect(JSON.stringify(event)).not.toMatch(new RegExp(`${own}|${foreign}`))
    }
  },
)

attack('S12', 'a placeholder in a query or a header that is no place is left alone', fronts, async (front) => {
  const where = await places.place()
  const own = where.login.placeholder(where.held)
  const answer = await places.ask(front, where, {
    target: `/search?q=${own}&mine=1`,
    headers: [
      ['Authorization', `Bearer ${own}`],
      ['X-Note', `seen ${own}`],
    ],
  })
  expect(answer.status).toBe(200)
  const got = places.upstream.got.at(-1)
  expect([got?.target, got?.headers['x-note']]).toEqual([`/search?q=${own}&mine=1`, `seen ${own}`])
})

attack(
  'S12',
  'a placeholder in every header that a request can have makes no flood of findings',
  fronts,
  async (front) => {
    const where = await places.place()
    const own = where.login.placeholder(where.held)
    const other = await places.place()
    const foreign = other.login.placeholder(other.held)
    for (let round = 0; round < 3; round += 1) {
      const noise = Array.from({ length: 150 }, (_, index) => [`X-R${round}-N${index}`, foreign] as const)
      const answer = await places.ask(front, where, { headers: [['Authorization', `Bearer ${own}`], ...noise] })
      expect(answer.status).toBe(200)
    }
    await expect.poll(async () => (await findings(where)).length).toBeGreaterThan(0)
    await places.stage.journaled({ kind: 'outcome', agent: where.agent })
    expect((await findings(where)).length).toBeLessThanOrEqual(3 * FINDINGS_MAXIMUM)
  },
)
