import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { afterAll, beforeAll, expect } from 'vitest'
import { encodeCaveat } from '../../src/core/caveats.ts'
import { narrow, readNarrowedToken } from '../../src/core/narrowed-token.ts'
import { base62 } from '../../src/core/placeholder.ts'
import { askForPlaceholders, narrowLogin, type NarrowedLogin } from '../e2e/gateway/narrowing.ts'
import { codeOf, connectHead } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { bearer, openScene, type Scene } from './scene.ts'

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

/** What a sub-agent can put together of a token that it holds: any caveats, with the signature or without. */
function forged(token: string, caveats: readonly Uint8Array[], signature?: Uint8Array): string {
  const known = readNarrowedToken(token)
  const body = Buffer.concat([
    Uint8Array.of(1),
    Buffer.from(known.locator, 'hex'),
    ...caveats,
    signature ?? known.signature,
  ])
  const start = `kwn_${body.toString('base64url')}`
  let rest = crc32(start)
  let check = ''
  for (let n = 0; n < 6; n += 1, rest = Math.floor(rest / 62)) check = base62.charAt(rest % 62) + check
  return start + check
}

/** Tokens that would allow more than the one that the sub-agent was given, if they were believed. */
function widened(given: NarrowedLogin): Map<string, string> {
  const { caveats, signature } = readNarrowedToken(given.token)
  const bytes = caveats.map((one) => one.bytes)
  const [start, first] = bytes
  if (start === undefined || first === undefined) throw new Error('The chain is too short.')
  const everything = encodeCaveat({ kind: 'allow', patterns: ['*'] })
  const other = readNarrowedToken(narrow(scene.login.token, [{ kind: 'uses', count: 9 }], randomBytes(12)).token)
  return new Map([
    ['without its last caveat', forged(given.token, bytes.slice(0, -1))],
    ['without its first narrowing', forged(given.token, bytes.slice(2))],
    ['with nothing but its beginning', forged(given.token, [start])],
    ['with a caveat written anew', forged(given.token, [start, everything, ...bytes.slice(2)])],
    ['in another order', forged(given.token, [start, ...bytes.slice(1).toReversed()])],
    ['with the signature of another', forged(given.token, bytes, other.signature)],
    [
      'with the caveats of another',
      forged(
        given.token,
        other.caveats.map((one) => one.bytes),
        signature,
      ),
    ],
    ['with a signature of nothing', forged(given.token, bytes, new Uint8Array(32))],
    ['as if it were whole', `kws_${given.token.slice(4)}`],
  ])
}

attack('I18', 'a narrowed token is edited, cut, reordered and spliced', fronts, async (front) => {
  const given = await narrowLogin(scene.stage, scene.login, [
    { kind: 'allow', patterns: ['GET /open/**'] },
    { kind: 'expires', at: scene.stage.app.now() + 600_000 },
  ])
  const headers = [bearer(given.placeholder(scene.echo))]
  const ask = (target: string, login = given) =>
    scene.stage.request({ ...front, held: scene.echo, login, target, headers })
  expect((await ask('/open/x')).status).toBe(200)
  expect(codeOf(await ask('/closed'))).toBe('narrowed_operation')
  const before = scene.upstream.got.length
  for (const [what, token] of widened(given)) {
    expect(codeOf(await askForPlaceholders(scene.stage, token)), what).toBe('token_invalid')
    if (front.door === 'base-url') continue
    if (front.door === 'tunnel') {
      const wire = await scene.stage.dial()
      wire.write(connectHead(`${scene.echo.host}:443`, token))
      expect(codeOf(await wire.answer()), what).toBe('token_invalid')
      wire.close()
    } else expect(codeOf(await ask('/closed', { ...given, token })), what).toBe('token_invalid')
  }
  expect(scene.upstream.got).toHaveLength(before)
})

attack('I18', 'its uses are raced by fifty requests at once', fronts, async (front) => {
  const given = await narrowLogin(scene.stage, scene.login, [{ kind: 'uses', count: 3 }])
  const headers = [bearer(given.placeholder(scene.echo))]
  const before = scene.upstream.got.length
  const asked = Array.from({ length: 50 }, () =>
    scene.stage.request({ ...front, held: scene.echo, login: given, headers }),
  )
  const answers = await Promise.all(asked)
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(3)
  expect(scene.upstream.got).toHaveLength(before + 3)
})

attack('I18', 'a sibling’s placeholder is used beside one’s own token', fronts, async (front) => {
  if (front.door === 'base-url') return
  const [given, sibling] = [
    await narrowLogin(scene.stage, scene.login, [{ kind: 'allow', patterns: ['GET /a'] }]),
    await narrowLogin(scene.stage, scene.login, [{ kind: 'allow', patterns: ['GET /b'] }]),
  ]
  const headers = [bearer(sibling.placeholder(scene.echo))]
  const asked = { ...front, held: scene.echo, login: given, headers }
  expect(codeOf(await scene.stage.request({ ...asked, target: '/b' }))).toBe('placeholder_foreign')
  expect(codeOf(await scene.stage.request({ ...asked, target: '/a' }))).toBe('placeholder_foreign')
})
