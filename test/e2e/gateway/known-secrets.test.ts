import { afterAll, beforeAll, expect, test } from 'vitest'
import { Secret } from '../../../src/core/secret.ts'
import { madeUp, openStage, type Stage } from './harness.ts'
import { doors, type Held, type Login } from './requests.ts'
import { startUpstream, type Upstream } from './upstream.ts'

/** What answers are searched for follows the vault: from the commit on, for everybody. */

let stage: Stage
let upstream: Upstream
let echo: Held
let login: Login
let says = ''

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((_request, response) => void response.end(says))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

async function answersOf(text: string): Promise<string[]> {
  says = text
  const answers = await Promise.all(
    doors.map((door) =>
      stage.request({ door, held: echo, login, headers: [['Authorization', `Bearer ${login.placeholder(echo)}`]] }),
    ),
  )
  return answers.map(({ body }) => body.toString())
}

test('a secret that is added, replaced or suspended, and of any environment', async () => {
  await answersOf('warm')
  const late = await stage.hold({ id: 'late', endpoint: upstream.origin, environment: 'prod', agent: 'worker' })
  expect(await answersOf(`<${late.secret()}>`)).toEqual(doors.map(() => '<[keyward:late]>'))

  const next = madeUp()
  await stage.app.credentials.set(late.credentialId, { key: new Secret('key', Buffer.from(next)) }, 'test')
  expect(await answersOf(`<${next}>`)).toEqual(doors.map(() => '<[keyward:late]>'))

  await stage.app.credentials.suspend(late.credentialId, 'test')
  expect(await answersOf(`<${next}>`)).toEqual(doors.map(() => '<[keyward:late]>'))
})

test('each session sees its own placeholder in the place of its secret', async () => {
  says = `<${echo.secret()}>`
  const other = await stage.login('triage')
  for (const who of [login, other, login]) {
    const answer = await stage.request({
      door: 'base-url',
      held: echo,
      login: who,
      headers: [['Authorization', `Bearer ${who.placeholder(echo)}`]],
    })
    expect(answer.body.toString()).toBe(`<${who.placeholder(echo)}>`)
  }
  // Where none was presented, the name stands there.
  const bare = await stage.request({ door: 'absolute', held: echo, login })
  expect(bare.body.toString()).toBe('<[keyward:echo]>')
})
