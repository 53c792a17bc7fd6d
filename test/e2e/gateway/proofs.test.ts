import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, SignJWT } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openStage, type Stage } from './harness.ts'
import { askForPlaceholders, narrowLogin } from './narrowing.ts'
import { codeOf, proxyCredentials, type Held, type Login } from './requests.ts'
import { startUpstream, type Upstream } from './upstream.ts'

/** Sessions that are bound to a key (RFC 9449), at every door. */

const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
let stage: Stage
let upstream: Upstream
let held: Held
let bound: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((_request, response) => void response.end('ok'))
  held = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  const jkt = await calculateJwkThumbprint(await exportJWK(keys.publicKey))
  const issued = await stage.app.sessions.issue(
    { agentId: held.agentId, ttlSeconds: 3600, egress: null, binding: { kind: 'unbound' }, jkt },
    'test',
  )
  const placeholder = issued.placeholders[0]?.text ?? ''
  bound = { id: issued.id, token: issued.token, placeholder: () => placeholder }
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

async function proof(
  method: string,
  target: string,
  token: string,
  { pair = keys, ...more }: { pair?: typeof keys; readonly [claim: string]: unknown } = {},
): Promise<string> {
  const ath = createHash('sha256').update(token).digest('base64url')
  const claims = {
    htm: method,
    htu: target,
    iat: Math.floor(stage.app.now() / 1000),
    jti: randomBytes(9).toString('hex'),
    ath,
    ...more,
  }
  const header = { alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(pair.publicKey) }
  return new SignJWT(claims).setProtectedHeader(header).sign(pair.privateKey)
}

const authorization = () => ['Authorization', `Bearer ${bound.placeholder(held)}`] as const
const atBaseUrl = (...proofs: string[]) =>
  stage.request({
    door: 'base-url',
    held,
    target: '/x?q=1',
    headers: [authorization(), ...proofs.map((one) => ['DPoP', one] as const)],
  })
const here = () => `http://127.0.0.1:${stage.port}/s/echo/x`

test('at the base URL each request needs a fresh proof for it, which goes no further', async () => {
  const placeholder = bound.placeholder(held)
  const good = await proof('GET', here(), placeholder)
  expect((await atBaseUrl(good)).status).toBe(200)
  expect(upstream.got.at(-1)?.headers).not.toHaveProperty('dpop')
  expect(upstream.got.at(-1)?.headers.authorization).toBe(`Bearer ${held.secret()}`)
  const before = upstream.got.length
  expect(codeOf(await atBaseUrl())).toBe('proof_missing')
  expect(codeOf(await atBaseUrl(good))).toBe('proof_replayed')
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  for (const wrong of [
    await proof('GET', here(), placeholder, { pair: other }),
    await proof('POST', here(), placeholder),
    await proof('GET', `http://127.0.0.1:${stage.port}/s/echo/y`, placeholder),
    await proof('GET', `http://elsewhere.example.test/s/echo/x`, placeholder),
    await proof('GET', here(), bound.token),
    await proof('GET', here(), placeholder, { iat: Math.floor(stage.app.now() / 1000) - 120 }),
  ])
    expect(codeOf(await atBaseUrl(wrong))).toBe('proof_invalid')
  const two = [await proof('GET', here(), placeholder), await proof('GET', here(), placeholder)]
  expect(codeOf(await atBaseUrl(...two))).toBe('proof_invalid')
  expect(upstream.got).toHaveLength(before)
  const refused = await stage.journaled({ kind: 'refusal', text: 'proof_replayed' })
  expect(refused.event).toMatchObject({ session: bound.id })
})

test('of one proof that is sent many times at once one request passes', async () => {
  const one = await proof('GET', here(), bound.placeholder(held))
  const answers = await Promise.all(Array.from({ length: 20 }, () => atBaseUrl(one)))
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
})

test('the proxy wants one for each request in absolute form, and for a tunnel one at its CONNECT', async () => {
  const target = `http://${held.host}/x`
  const absolute = (...proofs: string[]) =>
    stage.request({
      door: 'absolute',
      held,
      login: bound,
      target: '/x',
      headers: [authorization(), ...proofs.map((text) => ['DPoP', text] as const)],
    })
  expect(codeOf(await absolute())).toBe('proof_missing')
  expect((await absolute(await proof('GET', target, bound.token))).status).toBe(200)
  expect(upstream.got.at(-1)?.headers).not.toHaveProperty('dpop')

  const authority = `${held.host}:443`
  const connect = async (...proofs: string[]) => {
    const wire = await stage.dial()
    const lines = [
      `Host: ${authority}`,
      `Proxy-Authorization: ${proxyCredentials(bound.token)}`,
      ...proofs.map((one) => `DPoP: ${one}`),
    ]
    wire.write(`CONNECT ${authority} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
    const { status } = await wire.head()
    wire.close()
    return status
  }
  expect(await connect()).toBe(401)
  expect(await connect(await proof('CONNECT', authority, bound.token))).toBe(200)
  expect(await connect(await proof('CONNECT', `${held.host}:80`, bound.token))).toBe(401)
})

test('what is narrowed from a bound session is bound to the same key', async () => {
  await expect(narrowLogin(stage, bound, [{ kind: 'uses', count: 5 }])).rejects.toThrow('401')
  const { narrow } = await import('../../../src/core/narrowed-token.ts')
  const { token } = narrow(bound.token, [{ kind: 'uses', count: 5 }], randomBytes(12))
  const text = await proof('POST', `http://127.0.0.1:${stage.port}/session/narrowed`, token)
  expect((await askForPlaceholders(stage, token, [`DPoP: ${text}`])).status).toBe(200)
})

test('a session without a key sends the header on as it is: it may be the service’s', async () => {
  const login = await stage.login('triage')
  const headers = [
    ['Authorization', `Bearer ${login.placeholder(held)}`],
    ['DPoP', 'for the service'],
  ] as const
  expect((await stage.request({ door: 'base-url', held, headers })).status).toBe(200)
  expect(upstream.got.at(-1)?.headers['dpop']).toBe('for the service')
})
