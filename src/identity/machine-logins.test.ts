import { createHmac, createPublicKey, createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { exportJWK, exportSPKI, SignJWT, UnsecuredJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { createFakeRecords, fakeCredential, fakeEnvironments } from '../../test/fakes/records.ts'
import { KeywardError } from '../core/errors.ts'
import { base62 } from '../core/placeholder.ts'
import { createConditionReader } from './condition-reader.ts'
import { createAgents } from './agents.ts'
import { createDpop } from './dpop.ts'
import { createGrants } from './grants.ts'
import {
  createIssuerKeys,
  KEY_SETS_MAXIMUM,
  KEYS_ASKED_MILLISECONDS,
  KEYS_FRESH_MILLISECONDS,
  KEYS_STALE_MILLISECONDS,
} from './issuer-keys.ts'
import { JWT_SKEW_SECONDS, ONE_USE_JWT_SECONDS } from './jwt.ts'
import { JWT_MAXIMUM_CHARACTERS, KEYS_MAXIMUM } from './login-bounds.ts'
import { AGENT_ENROLMENTS_MAXIMUM, createMachineLogins, type MachineWish } from './machine-logins.ts'
import { createSessions } from './sessions.ts'
import { AGENT_TRUSTS_MAXIMUM, createTrusts, type WantedTrust } from './trusts.ts'

const issuer = 'https://token.actions.example.test'
const audience = 'https://keyward.example.test'
const start = 1_800_000_000_000
const wish: MachineWish = { ttlSeconds: 3600, egress: null, agent: null, dpop: null }

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const other = generateKeyPairSync('rsa', { modulusLength: 2048 })
const jwkOf = async (key: ReturnType<typeof createPublicKey>, kid: string) => ({
  ...(await exportJWK(key)),
  kid,
  use: 'sig',
  alg: 'RS256',
})

async function openHouse() {
  const records = createFakeRecords([...fakeEnvironments(), fakeCredential('openai')])
  const clock = { now: start }
  const now = (): number => clock.now
  let serial = 0
  const newId = (): string => `id${(serial += 1)}`
  const agents = createAgents({ records, now, newId })
  const grants = createGrants({
    records,
    now,
    newId,
    operationsOf: () => [],
    languagesOf: () => [],
    conditionOf: createConditionReader('UTC'),
  })
  const [tokenKey, sessionKey, key] = [1, 2, 3].map(() => createSecretKey(randomBytes(32)))
  if (tokenKey === undefined || sessionKey === undefined || key === undefined) throw new Error('no keys')
  const sessions = createSessions({
    records,
    tokenKey,
    sessionKey,
    signing: { key, signsWith: () => false },
    randomBytes,
    now,
    newId,
    credentialsOf: grants.credentialsOf,
    secretFieldsOf: () => ['key'],
    shapeOf: () => ({ prefix: 'key-', alphabet: base62, length: null }),
    isAlive: () => true,
    timer: () => () => undefined,
  })
  const fetched: string[] = []
  const documents = new Map<string, unknown>([
    [`${issuer}/.well-known/openid-configuration`, { issuer, jwks_uri: `${issuer}/keys` }],
    [`${issuer}/keys`, { keys: [await jwkOf(rsa.publicKey, 'one')] }],
  ])
  const keys = createIssuerKeys({
    now,
    async fetchJson(url) {
      fetched.push(url)
      if (!documents.has(url)) throw new KeywardError('issuer_unreachable')
      return documents.get(url)
    },
  })
  const trusts = createTrusts({ records, now, newId })
  const logins = createMachineLogins({
    records,
    sessions,
    trusts,
    keys,
    dpop: createDpop({ now }),
    tokenKey,
    randomBytes,
    now,
    newId,
  })
  const agent = async (name: string): Promise<string> =>
    (await agents.add({ name, environment: 'prod', owner: null }, 'test')).id
  return { records, clock, agents, sessions, trusts, logins, keys, fetched, documents, agent }
}

const jwtTrust = (more: Partial<Extract<WantedTrust, { kind: 'jwt' }>> = {}): WantedTrust => ({
  kind: 'jwt',
  issuer,
  audience,
  keys: { kind: 'discovery' },
  claims: { repository: 'org/app', ref: 'refs/heads/main' },
  oneUse: false,
  privateNetwork: false,
  authority: null,
  ...more,
})

/** Claims as GitHub's reference of its tokens has them (docs.github.com, OpenID Connect reference). */
const claims = (more: Readonly<Record<string, unknown>> = {}) => ({
  iss: issuer,
  aud: audience,
  sub: 'repo:org/app:ref:refs/heads/main',
  repository: 'org/app',
  repository_owner: 'org',
  ref: 'refs/heads/main',
  iat: start / 1000,
  nbf: start / 1000,
  exp: start / 1000 + 300,
  ...more,
})
const signed = (
  body: Readonly<Record<string, unknown>>,
  header: { alg?: string; kid?: string; typ?: string } = {},
  key: Parameters<SignJWT['sign']>[0] = rsa.privateKey,
): Promise<string> =>
  new SignJWT(body).setProtectedHeader({ alg: 'RS256', kid: 'one', typ: 'JWT', ...header }).sign(key)

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof KeywardError ? error.code : `not a KeywardError: ${String(error)}`),
  )
}

describe('tokens of issuers', () => {
  test('the agent that the trust names, with a session that says how it came; renewed by the same subject alone', async () => {
    const { logins, trusts, sessions, records, agent, clock } = await openHouse()
    const agentId = await agent('deploy')
    const { id: trust } = await trusts.add(
      agentId,
      jwtTrust({ claims: { sub: 'repo:org/app:ref:refs/heads/*' } }),
      'test',
    )
    const { issued, agent: record } = await logins.login({ kind: 'jwt', token: await signed(claims()) }, wish)
    expect(record.name).toBe('deploy')
    expect(sessions.byToken(issued.token)).toMatchObject({ agentId, environment: 'prod' })
    expect(records.get('session', issued.id)?.login).toEqual({
      kind: 'jwt',
      trust,
      subject: 'repo:org/app:ref:refs/heads/main',
    })
    clock.now += 1_000_000
    const later = { iat: clock.now / 1000, nbf: clock.now / 1000, exp: clock.now / 1000 + 300 }
    const renewed = await logins.renew(
      issued.token,
      { kind: 'jwt', token: await signed(claims(later)) },
      { ttlSeconds: 7200, dpop: null },
    )
    expect(renewed).toEqual({ id: issued.id, expiresAt: clock.now + 7200_000 })
    expect(sessions.byToken(issued.token)).toMatchObject({ agentId })
    const renew = (token: string, text = issued.token) =>
      codeOf(logins.renew(text, { kind: 'jwt', token }, { ttlSeconds: 3600, dpop: null }))
    const elsewhere = { ...later, sub: 'repo:org/app:ref:refs/heads/other' }
    expect(await renew(await signed(claims(elsewhere)))).toBe('renewal_refused')
    expect(await renew(await signed(claims()))).toBe('jwt_expired')
    expect(await renew(await signed(claims(later)), `${issued.token}x`)).toBe('token_invalid')
    await trusts.remove(trust, 'test')
    expect(sessions.byToken(issued.token)).toMatchObject({ refusal: 'session_revoked' })
    expect(await codeOf(logins.login({ kind: 'jwt', token: await signed(claims(later)) }, wish))).toBe('issuer_unknown')
  })

  test('a token of a Kubernetes service account, by the claims within its own', async () => {
    const { logins, trusts, agent } = await openHouse()
    const key = await jwkOf(rsa.publicKey, 'one')
    await trusts.add(
      await agent('triage'),
      jwtTrust({
        keys: { kind: 'fixed', keys: [key] },
        claims: { sub: 'system:serviceaccount:agents:triage', 'kubernetes.io/namespace': 'agents' },
      }),
      'test',
    )
    const body = {
      ...claims({ aud: [audience], sub: 'system:serviceaccount:agents:triage' }),
      'kubernetes.io': { namespace: 'agents', serviceaccount: { name: 'triage', uid: 'u' } },
    }
    const header = { alg: 'RS256', kid: 'one' }
    const token = await new SignJWT(body).setProtectedHeader(header).sign(rsa.privateKey)
    expect((await logins.login({ kind: 'jwt', token }, wish)).agent.name).toBe('triage')
    const foreign = { ...body, 'kubernetes.io': { namespace: 'default' } }
    const refused = await new SignJWT(foreign).setProtectedHeader(header).sign(rsa.privateKey)
    expect(await codeOf(logins.login({ kind: 'jwt', token: refused }, wish))).toBe('jwt_foreign')
  })

  test('each way in which a token is not good has its own answer', async () => {
    const { logins, trusts, agent } = await openHouse()
    await trusts.add(await agent('deploy'), jwtTrust(), 'test')
    const code = async (token: string | Promise<string>) =>
      codeOf(logins.login({ kind: 'jwt', token: await token }, wish))
    const now = start / 1000
    expect(await code(signed(claims({ exp: now - JWT_SKEW_SECONDS + 1 })))).toBe('none')
    expect(await code(signed(claims({ exp: now - JWT_SKEW_SECONDS - 1 })))).toBe('jwt_expired')
    expect(await code(signed(claims({ nbf: now + JWT_SKEW_SECONDS + 1 })))).toBe('jwt_early')
    expect(await code(signed(claims({ iat: now + JWT_SKEW_SECONDS + 1 })))).toBe('jwt_early')
    expect(await code(signed(claims({ iss: 'https://evil.example.test' })))).toBe('issuer_unknown')
    expect(await code(signed(claims({ iss: `${issuer}/` })))).toBe('issuer_unknown')
    for (const aud of [
      'https://else.example.test',
      [audience, 'https://else.example.test'],
      [],
      undefined,
      `${audience}/`,
    ])
      expect(await code(signed(claims({ aud })))).toBe('jwt_audience')
    expect(await code(signed(claims({ ref: 'refs/heads/other' })))).toBe('jwt_foreign')
    expect(await code(signed(claims({ repository: undefined })))).toBe('jwt_foreign')
    for (const missing of ['exp', 'iat', 'sub'])
      expect(await code(signed(claims({ [missing]: undefined })))).toBe('jwt_invalid')
    // Signed by somebody else, with the name of the right key or of none.
    expect(await code(signed(claims(), {}, other.privateKey))).toBe('jwt_invalid')
    expect(await code(signed(claims(), { kid: 'two' }, other.privateKey))).toBe('jwt_invalid')
    expect(await code(signed(claims(), { typ: 'dpop+jwt' }))).toBe('jwt_invalid')
    const [head, , signature] = (await signed(claims({ ref: 'refs/heads/other' }))).split('.')
    const [, body] = (await signed(claims())).split('.')
    expect(await code(`${head}.${body}.${signature}`)).toBe('jwt_invalid')
    for (const text of ['', 'x', 'a.b', 'a.b.c.d', 'x'.repeat(JWT_MAXIMUM_CHARACTERS + 1)])
      expect(await code(text)).toBe('jwt_invalid')
  })

  test('no algorithm but those with a public key: none, a shared secret, and a public key taken for one', async () => {
    const { logins, trusts, agent, documents } = await openHouse()
    await trusts.add(await agent('deploy'), jwtTrust(), 'test')
    const code = async (token: string) => codeOf(logins.login({ kind: 'jwt', token }, wish))
    expect(await code(new UnsecuredJWT(claims()).encode())).toBe('jwt_invalid')
    const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const head = encoded({ alg: 'HS256', typ: 'JWT', kid: 'one' })
    for (const secret of [await exportSPKI(rsa.publicKey), JSON.stringify(await jwkOf(rsa.publicKey, 'one')), '']) {
      const text = `${head}.${encoded(claims())}`
      expect(await code(`${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`)).toBe('jwt_invalid')
    }
    // Nor where the issuer itself would publish such a key.
    const shared = randomBytes(32)
    documents.set(`${issuer}/keys`, {
      keys: [{ kty: 'oct', kid: 'shared', k: shared.toString('base64url'), alg: 'HS256' }],
    })
    expect(await code(await signed(claims(), { alg: 'HS256', kid: 'shared' }, createSecretKey(shared)))).toBe(
      'jwt_invalid',
    )
    for (const jwk of [await jwkOf(other.publicKey, 'one')]) {
      const own = await new SignJWT(claims())
        .setProtectedHeader({ alg: 'RS256', kid: 'one', jwk })
        .sign(other.privateKey)
      expect(await code(own)).toBe('jwt_invalid')
    }
  })

  test('where each token is good for one login, the second is refused, also when both come at once', async () => {
    const { logins, trusts, agent } = await openHouse()
    await trusts.add(await agent('deploy'), jwtTrust({ oneUse: true }), 'test')
    const login = (token: string) => logins.login({ kind: 'jwt', token }, wish)
    const token = await signed(claims({ jti: 'a' }))
    const codes = await Promise.all(Array.from({ length: 10 }, () => codeOf(login(token))))
    expect(codes.toSorted()).toEqual([...Array.from({ length: 9 }, () => 'jwt_replayed'), 'none'])
    expect(await codeOf(login(await signed(claims({ jti: 'b' }))))).toBe('none')
    expect(await codeOf(login(await signed(claims())))).toBe('jwt_invalid')
    const long = { jti: 'c', exp: start / 1000 + ONE_USE_JWT_SECONDS + 1 }
    expect(await codeOf(login(await signed(claims(long))))).toBe('jwt_invalid')
  })

  test('a proof for two agents needs the name of one, and a name does not make it good for another', async () => {
    const { logins, trusts, agent } = await openHouse()
    for (const name of ['one', 'two']) await trusts.add(await agent(name), jwtTrust(), 'test')
    await agent('three')
    const token = await signed(claims())
    const login = (name: string | null) =>
      logins.login({ kind: 'jwt', token }, { ...wish, agent: name === null ? null : { name, environment: 'prod' } })
    expect(await codeOf(login(null))).toBe('login_ambiguous')
    expect((await login('two')).agent.name).toBe('two')
    expect(await codeOf(login('three'))).toBe('login_foreign')
  })
})

describe('keys of issuers', () => {
  const trust = { ...jwtTrust(), agentId: 'a', createdAt: 0 }
  if (trust.kind !== 'jwt') throw new Error('not a trust in tokens')

  test('they are remembered, asked for anew when an unknown one is named, and not more often than the bound', async () => {
    const { keys, fetched, clock, documents } = await openHouse()
    await Promise.all([keys.of(trust, 'one'), keys.of(trust, 'one')])
    expect(fetched).toEqual([`${issuer}/.well-known/openid-configuration`, `${issuer}/keys`])
    for (let n = 0; n < 20; n += 1) await keys.of(trust, `unknown-${n}`)
    expect(fetched).toHaveLength(2)
    documents.set(`${issuer}/keys`, { keys: [await jwkOf(other.publicKey, 'two')] })
    clock.now += KEYS_ASKED_MILLISECONDS
    expect((await keys.of(trust, 'two')).map(({ kid }) => kid)).toEqual(['two'])
    expect(fetched).toHaveLength(4)
    clock.now += KEYS_FRESH_MILLISECONDS
    await keys.of(trust, 'two')
    expect(fetched).toHaveLength(6)
  })

  test('an issuer that is away is believed for a while, and then no more', async () => {
    const { keys, documents, clock } = await openHouse()
    await keys.of(trust, 'one')
    documents.clear()
    clock.now += KEYS_STALE_MILLISECONDS
    expect(await keys.of(trust, 'one')).toHaveLength(1)
    clock.now += KEYS_ASKED_MILLISECONDS
    expect(await codeOf(keys.of(trust, 'one'))).toBe('issuer_unreachable')
  })

  test('a configuration of another issuer, keys over http, and too many keys are refused', async () => {
    for (const [url, document] of [
      [
        `${issuer}/.well-known/openid-configuration`,
        { issuer: 'https://evil.example.test', jwks_uri: `${issuer}/keys` },
      ],
      [`${issuer}/.well-known/openid-configuration`, { issuer, jwks_uri: 'http://evil.example.test/keys' }],
      [`${issuer}/.well-known/openid-configuration`, { issuer, jwks_uri: 'file:///etc/passwd' }],
      [`${issuer}/keys`, { keys: Array.from({ length: KEYS_MAXIMUM + 1 }, () => ({ kty: 'RSA' })) }],
      [`${issuer}/keys`, 'nonsense'],
    ] as const) {
      const { keys, documents } = await openHouse()
      documents.set(url, document)
      expect(await codeOf(keys.of(trust, 'one'))).toBe('issuer_unreachable')
    }
  })

  test('no more key sets are remembered than the bound says', async () => {
    const { keys, documents, fetched } = await openHouse()
    for (let n = 0; n <= KEY_SETS_MAXIMUM; n += 1) {
      const url = `https://i${n}.example.test/keys`
      documents.set(url, { keys: [{ kty: 'RSA', kid: 'k' }] })
      await keys.of({ ...trust, issuer: `i${n}`, keys: { kind: 'url', url } }, 'k')
    }
    const before = fetched.length
    await keys.of({ ...trust, issuer: 'i1', keys: { kind: 'url', url: 'https://i1.example.test/keys' } }, 'k')
    expect(fetched).toHaveLength(before)
    await keys.of({ ...trust, issuer: 'i0', keys: { kind: 'url', url: 'https://i0.example.test/keys' } }, 'k')
    expect(fetched).toHaveLength(before + 1)
  })
})

describe('enrolment secrets', () => {
  const secretOf = (secret: string) => ({ kind: 'enrolment', secret }) as const

  test('good once, however many try at once; the store has no text of them', async () => {
    const { logins, agent, records } = await openHouse()
    const agentId = await agent('build')
    const { secret } = await logins.enrol(agentId, 3600, 'test')
    expect(JSON.stringify([records.log, [...records.all('enrolment')]])).not.toContain(secret)
    const codes = await Promise.all(Array.from({ length: 20 }, () => codeOf(logins.login(secretOf(secret), wish))))
    expect(codes.toSorted()).toEqual([...Array.from({ length: 19 }, () => 'enrolment_used'), 'none'])
    expect([...records.all('session').values()].filter((session) => session.agentId === agentId)).toHaveLength(1)
  })

  test('not after its time, not after it was taken back, not of a removed agent, and nothing that looks like one', async () => {
    const { logins, agent, agents, clock } = await openHouse()
    const agentId = await agent('build')
    const [late, back, gone] = [
      await logins.enrol(agentId, 60, 'test'),
      await logins.enrol(agentId, 3600, 'test'),
      await logins.enrol(agentId, 3600, 'test'),
    ]
    clock.now += 60_000
    expect(await codeOf(logins.login(secretOf(late.secret), wish))).toBe('enrolment_expired')
    await logins.withdraw(back.id, 'test')
    expect(await codeOf(logins.login(secretOf(back.secret), wish))).toBe('enrolment_invalid')
    await agents.remove(agentId, 'test')
    expect(await codeOf(logins.login(secretOf(gone.secret), wish))).toBe('enrolment_invalid')
    for (const text of ['', 'kwe_x', `${gone.secret}0`])
      expect(await codeOf(logins.login(secretOf(text), wish))).toBe('enrolment_invalid')
    expect(await codeOf(logins.enrol(agentId, 3600, 'test'))).toBe('not_found')
  })

  test('a session that came of one is not renewed, a suspended agent does not log in, and they are bounded', async () => {
    const { logins, agent, agents, clock, records } = await openHouse()
    const agentId = await agent('build')
    const { secret } = await logins.enrol(agentId, 3600, 'test')
    const { issued } = await logins.login(secretOf(secret), wish)
    expect(await codeOf(logins.renew(issued.token, secretOf(secret), { ttlSeconds: 3600, dpop: null }))).toBe(
      'renewal_refused',
    )
    for (let n = 0; n < AGENT_ENROLMENTS_MAXIMUM; n += 1) await logins.enrol(agentId, 3600, 'test')
    expect(await codeOf(logins.enrol(agentId, 3600, 'test'))).toBe('overloaded')
    for (const ttl of [59, 7 * 86_400 + 1, 1.5]) expect(await codeOf(logins.enrol(agentId, ttl, 'test'))).toBe('usage')
    clock.now += 3_600_000
    const { secret: open } = await logins.enrol(agentId, 3600, 'test')
    await agents.suspend(agentId, 'test')
    expect(await codeOf(logins.login(secretOf(open), wish))).toBe('agent_suspended')
    await agents.resume(agentId, 'test')
    expect(await codeOf(logins.login(secretOf(open), wish))).toBe('none')
    clock.now += 25 * 3_600_000
    await logins.sweep()
    expect(records.all('enrolment').size).toBe(0)
  })
})

test('trusts that would take anybody, or that cannot be, are refused; they are bounded', async () => {
  const { trusts, agent } = await openHouse()
  const agentId = await agent('deploy')
  const code = (wanted: WantedTrust) => codeOf(trusts.add(agentId, wanted, 'test'))
  for (const wanted of [
    jwtTrust({ claims: {} }),
    jwtTrust({ claims: { sub: '*' } }),
    jwtTrust({ claims: { iss: issuer } }),
    jwtTrust({ claims: { sub: '' } }),
    jwtTrust({ audience: '' }),
    jwtTrust({ issuer: 'http://evil.example.test' }),
    jwtTrust({ keys: { kind: 'url', url: 'http://evil.example.test/keys' } }),
    jwtTrust({ keys: { kind: 'fixed', keys: [] } }),
    jwtTrust({ keys: { kind: 'fixed', keys: [{ kty: 'oct', k: 'x' }] } }),
    jwtTrust({ keys: { kind: 'fixed', keys: [{ ...(await exportJWK(rsa.privateKey)) }] } }),
    { kind: 'certificate', spiffe: 'https://example.test/x' },
    { kind: 'certificate', spiffe: 'spiffe://*/x' },
    { kind: 'certificate', spiffe: 'spiffe://example.test' },
    { kind: 'certificate', spiffe: 'spiffe://example.test/../x' },
  ] as const)
    expect(await code(wanted), JSON.stringify(wanted)).toBe('usage')
  for (let n = 0; n < AGENT_TRUSTS_MAXIMUM; n += 1) expect(await code(jwtTrust())).toBe('none')
  expect(await code(jwtTrust())).toBe('overloaded')
})
