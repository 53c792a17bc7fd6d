import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts, type Front } from './attack.ts'
import { ask, outcomeOf } from './asking.ts'

let stage: Stage
let upstream: Upstream
let plain: Held
let slashed: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  const rules = {
    endpoint: upstream.origin,
    allow: ['GET /public/**', 'GET /'],
    deny: ['* /secret/**', '* /public/secret/**', '* /public/Vault/**'],
  }
  plain = await stage.hold({ id: 'plain', ...rules })
  slashed = await stage.hold({ id: 'slashed', encodedSlash: true, ...rules })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const refused = [
  '/public/../secret',
  '/public/..',
  '/public/../',
  '/../secret',
  '/../../secret',
  '/public/../../../secret',
  '/public/./secret',
  '/public/.',
  '/./public',
  '/public/%2e%2e/secret',
  '/public/%2E%2e/secret',
  '/public/%2E%2E/secret',
  '/public/.%2e/secret',
  '/public/%2e./secret',
  '/public/%2e/secret',
  '/public%2fsecret',
  '/public%2Fsecret',
  '/public%5csecret',
  '/public%5Csecret',
  '/public\\secret',
  '/public/..\\secret',
  '/public/..%5csecret',
  '//public',
  '//secret',
  '/public//secret',
  '/public///x',
  '///secret',
  '/public//',
  '/public;/secret',
  '/public;params',
  '/public/x;v=1',
  '/public/%3bx',
  '/;/secret',
  '/public/..;/secret',
  '/public/..;a=b/secret',
  '/public/%2e%2e;/secret',
  '/public/%252e%252e/secret',
  '/public/%252e%252e%252fsecret',
  '/public/%25252e/secret',
  '/public%252fsecret',
  '/public/%255c',
  '/public/%c0%ae%c0%ae/',
  '/public/%00',
  '/public/x%00.png',
  '/public/%0a',
  '/public/%0d%0aX:%20y',
  '/public/%7f',
  '/public/%',
  '/public/%2',
  '/public/%zz',
  '/public/%u002e',
  '/%70ublic/x',
  '/public/%73ecret',
  '/public/%7e',
  '/public/a\\..\\b',
  '/public/#/../secret',
  '/public/x#y',
  '/public/ x',
  '/public/\tx',
  '/public/\x0bx',
  '/public/é',
  '/public/\xff',
  '/public/"x"',
  '/public/<x>',
  '/public/{x}',
  '/public/`x`',
  '/public/^',
] as const
const whereSlashesAreAllowed = [
  '/public/a%2f..%2fsecret',
  '/public/..%2fsecret',
  '/public/%2fsecret',
  '/public/a%2f',
  '/public/a%2f%2fb',
  '/public/a%2f.%2fb',
  '/public/a%252fb',
  '/public/a%5cb',
  '/public%2f..',
  '/public/%2e%2e%2fsecret',
] as const
const forwarded = [
  '/public/x',
  '/public/x/',
  '/public/...',
  '/public/..x',
  '/public/x..',
  '/public/.x',
  '/public/%20',
  '/public/%C3%A9',
  '/public/100%25',
  "/public/a:b@c!$&'()*+,=~_-.",
  '/public/x?y=../../secret&z=%2e%2e%2f;//',
  '/public/x?',
  '/?x',
] as const

attack('P1', 'a path with two readings is refused', fronts, async (front) => {
  for (const [held, targets] of [
    [plain, refused],
    [slashed, whereSlashesAreAllowed],
  ] as const)
    for (const target of targets) {
      const before = upstream.received().length
      const outcome = await outcomeAt(front, held, target)
      expect(
        ['path_not_canonical', 'request_malformed', 'reset'],
        `${held.id} ${JSON.stringify(target)}: ${outcome}`,
      ).toContain(outcome)
      expect(upstream.received().length, target).toBe(before)
    }
})

attack('P1', 'a path with one reading is sent as it was written', fronts, async (front) => {
  for (const [held, targets] of [
    [plain, forwarded],
    [slashed, ['/public/a%2fb', '/public/a%2Fb/c']],
  ] as const)
    for (const target of targets) {
      expect(await outcomeAt(front, held, target), target).toBe('answered 200')
      expect(upstream.got.at(-1)?.target).toBe(target)
    }
})

attack('P1', 'what is denied is denied in every letter case and with a slash behind', fronts, async (front) => {
  const before = upstream.received().length
  for (const target of [
    '/secret/x',
    '/secret',
    '/secret/',
    '/SECRET/x',
    '/Secret',
    '/public/secret/x',
    '/public/SECRET/x',
    '/public/secret/',
    '/public/secret?x',
    '/PUBLIC/secret/x',
    '/public/Vault/x',
    '/public/vault/x',
    '/public/VAULT/x/',
  ]) {
    const outcome = await outcomeAt(front, plain, target)
    expect(['operation_denied', 'operation_not_allowed'], `${target}: ${outcome}`).toContain(outcome)
  }
  expect(upstream.received().length).toBe(before)
})

/** `reset`: the library of HTTP/2 has refused the stream by itself. */
function outcomeAt(front: Front, held: Held, target: string): Promise<string> {
  const answer = ask(stage, front, { held, login, target })
  return front.protocol === 'h2' ? answer.then(outcomeOf, () => 'reset') : answer.then(outcomeOf)
}
