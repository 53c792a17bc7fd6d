import { expect } from 'vitest'
import { REFUSALS_LIMIT } from '../../src/gateway/refusal-limits.ts'
import { connectHead, codeOf, proxyCredentials } from '../e2e/gateway/requests.ts'
import { attack, fronts, type Front } from './attack.ts'
import { usePlaces, type Placed } from './place.ts'

const places = usePlaces()
const BEYOND = 60
let guessed = 0

function guess(): string {
  guessed += 1
  return `kws_${String(guessed).padStart(40, '0')}`
}

/** One guess, written as the door wants it. Gives the code of the answer. */
async function tryOne(front: Front, { held }: Placed): Promise<string> {
  if (front.door !== 'tunnel') {
    const headers =
      front.door === 'base-url'
        ? ([['Authorization', `Bearer ${guess()}`]] as const)
        : ([['Proxy-Authorization', proxyCredentials(guess())]] as const)
    return codeOf(await places.stage.request({ ...front, held, headers }))
  }
  const wire = await places.stage.dial()
  wire.write(connectHead(`${held.host}:443`, guess()))
  const code = codeOf(await wire.answer())
  wire.close()
  return code
}

attack('I16', 'a flood of guesses is bounded and hardly written down; honest callers go on', fronts, async (front) => {
  // The minute of the front before is over.
  places.stage.advance((REFUSALS_LIMIT.perSeconds + 5) * 1_000)
  const where = await places.place()
  const total = REFUSALS_LIMIT.count + BEYOND
  const written = async () => (await places.stage.entries({ kind: 'refusal' })).length
  const before = await written()
  const codes = new Map<string, number>()
  for (let done = 0; done < total; done += 20) {
    const wave = await Promise.all(Array.from({ length: 20 }, () => tryOne(front, where)))
    for (const code of wave) codes.set(code, (codes.get(code) ?? 0) + 1)
    // Amid the flood, at every moment of it.
    if (done % 100 === 0) expect((await places.ask(front, where)).status).toBe(200)
  }
  expect(codes.get('too_many_attempts')).toBeGreaterThanOrEqual(BEYOND - 1)
  expect(
    (codes.get('too_many_attempts') ?? 0) +
      (codes.get('token_invalid') ?? 0) +
      (codes.get('placeholder_required') ?? 0),
  ).toBe(total)
  expect((await places.ask(front, where)).status).toBe(200)
  // An attacker cannot fill the disk with his failures: beyond the limit one entry says that it was reached.
  expect((await written()) - before).toBeLessThanOrEqual(REFUSALS_LIMIT.count + 2)
})
