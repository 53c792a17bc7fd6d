import { afterAll, beforeAll, expect } from 'vitest'
import { madeUp, openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { KeywardError } from '../../src/core/errors.ts'
import { Secret } from '../../src/core/secret.ts'
import { parseService } from '../../src/services/definition.ts'
import { attack, inside, fronts } from './attack.ts'
import { ask, outcomeOf } from './asking.ts'

let stage: Stage
let upstream: Upstream
let pem: Held
let login: Login

const PEM = `-----BEGIN PRIVATE KEY-----\n${madeUp()}\n-----END PRIVATE KEY-----\n`

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  pem = await stage.hold({ id: 'pem', endpoint: upstream.origin, values: { key: PEM } })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const codeOfError = async (step: () => unknown): Promise<string> => {
  try {
    await step()
    return 'accepted'
  } catch (error) {
    return error instanceof KeywardError ? error.code : String(error)
  }
}

attack('P6', 'a secret with a line break or a control character is not taken in', inside, async () => {
  for (const sign of ['\r\n', '\n', '\r', '\0', '\x0b', '\x7f', '\x1b', '\u0085', '\u2028', '\u2029'])
    for (const value of [`${madeUp()}${sign}X-Injected: 1`, `${sign}${madeUp()}`, `${madeUp()}${sign}`]) {
      const code = await codeOfError(() =>
        stage.app.credentials.add(
          {
            name: 'broken',
            environment: 'dev',
            service: 'pem',
            fields: { key: new Secret('key', Buffer.from(value)) },
            owner: null,
            sensitivity: 'low',
          },
          'test',
        ),
      )
      expect(code, JSON.stringify(sign)).toBe('secret_invalid')
    }
})

attack('P6', 'a secret that is a file is never put into a header', fronts, async (front) => {
  const before = upstream.received().length
  expect(outcomeOf(await ask(stage, front, { held: pem, login }))).toBe('secret_not_injectable')
  expect(upstream.received().length).toBe(before)
})

attack('P6', 'no service names a header, a parameter or a path that holds more than a name', inside, async () => {
  const rules = [
    '{ kind: header, name: "X-Key\\r\\nX-Injected" }',
    '{ kind: header, name: "X Key" }',
    '{ kind: header, name: "X-Key:" }',
    '{ kind: header, name: "" }',
    '{ kind: header, name: "X-Ké" }',
    '{ kind: header, name: "Host" }',
    '{ kind: header, name: "Transfer-Encoding" }',
    '{ kind: header, name: "Content-Length" }',
    '{ kind: header, name: "Connection" }',
    '{ kind: header, name: X-Key, value: "{key}\\r\\nX: y" }',
    '{ kind: basic, user: "a\\r\\nb" }',
    '{ kind: basic, user: "a b" }',
    '{ kind: query, name: "a&b" }',
    '{ kind: query, name: "a\\nb" }',
    '{ kind: query, name: "a=b" }',
    '{ kind: path, template: "/bot{key}?x" }',
    '{ kind: path, template: "/../{key}" }',
    '{ kind: path, template: "/a\\r\\n{key}" }',
    '{ kind: path, template: "//{key}" }',
    '{ kind: path, template: "x{key}" }',
  ]
  for (const rule of rules) {
    const code = await codeOfError(() =>
      parseService(`id: mine\nhosts: [mine.example.test]\ninject: ${rule}\n`, () => '', []),
    )
    expect(code, rule).toBe('file_invalid')
  }
})
