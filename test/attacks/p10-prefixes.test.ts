import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { looksLikePlaceholder, makePlaceholder, type RandomText } from '../../src/core/placeholder.ts'
import { detectors } from '../../src/detectors/index.ts'
import { attack, inside, fronts } from './attack.ts'
import { ask, outcomeOf } from './asking.ts'

let stage: Stage
let upstream: Upstream
let first: Held
let second: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  first = await stage.hold({ id: 'first', endpoint: upstream.origin })
  second = await stage.hold({ id: 'second', endpoint: upstream.origin, inject: [{ kind: 'query', name: 'key' }] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

attack('P10', 'a placeholder with something before or behind it is none', fronts, async (front) => {
  const before = upstream.received().length
  const [one, two] = [login.placeholder(first), login.placeholder(second)]
  for (const text of [
    `${one}x`,
    `${one}0`,
    `x${one}`,
    one.slice(0, -1),
    one.slice(1),
    one + one,
    one + two,
    two + one,
    `${one}-${two}`,
    `${one}.${one}`,
    one.slice(0, one.length / 2) + two.slice(two.length / 2),
  ]) {
    const bearer = outcomeOf(
      await ask(stage, front, { held: first, login, headers: [['Authorization', `Bearer ${text}`]] }),
    )
    expect(['token_invalid', 'placeholder_required'], `${text}: ${bearer}`).toContain(bearer)
    const query = outcomeOf(await ask(stage, front, { held: second, login, target: `/?key=${text}`, headers: [] }))
    expect(['token_invalid', 'placeholder_required'], `${text}: ${query}`).toContain(query)
  }
  expect(upstream.received().length).toBe(before)
})

const random: RandomText = (length, alphabet) =>
  Array.from(randomBytes(length), (byte) => alphabet[byte % alphabet.length]).join('')

attack('P10', 'no placeholder is the beginning of another, in any shape that is shipped', inside, () => {
  const texts: string[] = []
  for (const { placeholder } of detectors)
    for (let i = 0; i < 40; i++) texts.push(makePlaceholder(placeholder, random).text)
  texts.sort()
  expect(texts.length).toBeGreaterThan(200)
  for (const [index, text] of texts.entries()) {
    const next = texts[index + 1]
    // In order, whatever begins with a text stands right behind it.
    if (next !== undefined) expect(next.startsWith(text)).toBe(false)
    for (const longer of [`${text}0`, `${text}a`]) expect(looksLikePlaceholder(longer)).toBe(false)
  }
})
