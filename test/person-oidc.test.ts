import { createSecretKey, randomBytes } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { idTokenByBrowser } from '../src/cli/oidc-browser.ts'
import { createIssuerKeys } from '../src/identity/issuer-keys.ts'
import { createLogins } from '../src/identity/logins.ts'
import { createPeople } from '../src/identity/people.ts'
import { createPersonOidc, OIDC_LOGIN_MILLISECONDS } from '../src/identity/person-oidc.ts'
import type { OidcBeginning } from '../src/identity/person-oidc.ts'
import { createFetchJson } from '../src/gateway/fetch-json.ts'
import { resolveHost } from '../src/gateway/egress.ts'
import { startOpenIdProvider } from './fakes/openid-provider.ts'
import type { OpenIdProvider } from './fakes/openid-provider.ts'
import { createFakeRecords } from './fakes/records.ts'

/** People log in by OpenID Connect with PKCE: the client and the server of Keyward against a real provider. */

const clientId = 'keyward-cli'
const accounts = new Map([
  ['anna', { email: 'anna@example.test', verified: true }],
  ['unverified', { email: 'anna@example.test', verified: false }],
  ['other', { email: 'anna@example.test', verified: true }],
  ['stranger', { email: 'stranger@example.test', verified: true }],
])
let idp: OpenIdProvider
beforeAll(async () => {
  idp = await startOpenIdProvider({ clientId, accounts })
})
afterAll(() => idp.close())

async function open(issuer = idp.issuer) {
  let ids = 0
  let passed = 0
  const now = () => Date.now() + passed
  const newId = () => `id${(ids += 1)}`
  const records = createFakeRecords()
  const people = createPeople({ records, now, newId })
  await people.add({ name: 'anna@example.test', role: 'operator', groups: ['team-a'] }, 'test')
  const fetchJson = createFetchJson(resolveHost)
  const key = createSecretKey(randomBytes(32))
  return {
    people,
    logins: createLogins({ records, key, randomBytes, now, newId, ownerName: 'operator:root' }),
    oidc: createPersonOidc({
      provider: { issuer, clientId, claim: 'email', authority: null },
      people,
      keys: createIssuerKeys({ fetchJson, now }),
      fetchJson,
      randomBytes,
      now,
    }),
    pass: (milliseconds: number) => (passed += milliseconds),
  }
}

/** The person goes where the client says. */
function tokenFor(beginning: OidcBeginning, person: string): Promise<string> {
  return idTokenByBrowser(beginning, (url) => void idp.visit(url, person))
}

test('a person logs in through the browser, and is who the provider says', async () => {
  const { oidc, logins } = await open()
  const { personId } = await oidc.prove(await tokenFor(await oidc.begin(), 'anna'))
  const { token } = await logins.open(personId, 'oidc')
  expect(logins.byToken(token)?.person).toMatchObject({ name: 'anna@example.test', role: 'operator' })
})

test('a token is good once, and for the login that was begun', async () => {
  const { oidc, pass } = await open()
  const idToken = await tokenFor(await oidc.begin(), 'anna')
  await oidc.prove(idToken)
  await expect(oidc.prove(idToken)).rejects.toMatchObject({ code: 'login_invalid' })
  const elsewhere = await open()
  const foreign = await tokenFor(await elsewhere.oidc.begin(), 'anna')
  await expect(oidc.prove(foreign)).rejects.toMatchObject({ code: 'login_invalid' })
  const late = await tokenFor(await oidc.begin(), 'anna')
  pass(OIDC_LOGIN_MILLISECONDS)
  await expect(oidc.prove(late)).rejects.toMatchObject({ code: 'login_invalid' })
})

test.each([
  ['a mail address that nobody verified', 'unverified'],
  ['somebody whom the server does not know', 'stranger'],
])('%s does not get in', async (_, person) => {
  const { oidc } = await open()
  await expect(oidc.prove(await tokenFor(await oidc.begin(), person))).rejects.toMatchObject({ code: 'login_invalid' })
})

test('who gets the mail address of another later is not that person', async () => {
  const { oidc } = await open()
  await oidc.prove(await tokenFor(await oidc.begin(), 'anna'))
  await expect(oidc.prove(await tokenFor(await oidc.begin(), 'other'))).rejects.toMatchObject({ code: 'login_invalid' })
  await oidc.prove(await tokenFor(await oidc.begin(), 'anna'))
})

describe('what a client does not take', () => {
  test('an answer with another state, or of another provider', async () => {
    const { oidc } = await open()
    const beginning = await oidc.begin()
    const seen = Promise.withResolvers<URL>()
    const waiting = idTokenByBrowser(beginning, (url) => seen.resolve(new URL(url)))
    waiting.catch(() => undefined)
    const url = await seen.promise
    expect(url.searchParams.get('code_challenge_method')).toBe('S256')
    expect(url.searchParams.get('code_challenge')).toMatch(/^[\w-]{43}$/)
    const callback = new URL(url.searchParams.get('redirect_uri') ?? '')
    for (const state of ['', 'x', `${url.searchParams.get('state')}x`])
      expect((await fetch(`${callback.href}?code=stolen&state=${state}`)).status).toBe(404)
    const rightState = url.searchParams.get('state') ?? ''
    await fetch(`${callback.href}?code=stolen&state=${rightState}&iss=https://other.example`)
    await expect(waiting).rejects.toMatchObject({ code: 'login_invalid' })
  })

  test('a code without its verifier is worth nothing', async () => {
    const { oidc } = await open()
    const beginning = await oidc.begin()
    const stolen = Promise.withResolvers<Response>()
    const waiting = idTokenByBrowser(beginning, (shown) => {
      const url = new URL(shown)
      // Whoever sees the code on its way does not have the verifier.
      void fetch(beginning.tokenEndpoint, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'authorization_code',
          client_id: clientId,
          code: 'guessed',
          redirect_uri: url.searchParams.get('redirect_uri') ?? '',
          code_verifier: randomBytes(48).toString('base64url'),
        }),
      }).then(stolen.resolve, stolen.reject)
      void idp.visit(shown, 'anna')
    })
    expect((await stolen.promise).status).toBe(400)
    await waiting
  })
})

describe('tokens that others made', () => {
  const claims = (over: Record<string, unknown> = {}) => ({
    iss: idp.issuer,
    aud: clientId,
    sub: 'anna',
    email: 'anna@example.test',
    email_verified: true,
    ...over,
  })

  test('by another key, by the public key as a shared secret, or by none', async () => {
    const { oidc } = await open()
    const { nonce } = await oidc.begin()
    const own = await generateKeyPair('RS256')
    const published: { keys: { n: string }[] } = JSON.parse(await (await fetch(`${idp.issuer}/jwks`)).text())
    const shared = createSecretKey(Buffer.from(published.keys[0]?.n ?? '', 'base64url'))
    const forged = [
      await new SignJWT(claims({ nonce }))
        .setProtectedHeader({ alg: 'RS256', kid: 'one' })
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(own.privateKey),
      await new SignJWT(claims({ nonce }))
        .setProtectedHeader({ alg: 'HS256', kid: 'one' })
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(shared),
      await new SignJWT(claims({ nonce }))
        .setProtectedHeader({ alg: 'RS256', kid: 'one', jwk: await exportJWK(own.publicKey) })
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(own.privateKey),
      new UnsecuredJWT(claims({ nonce })).setIssuedAt().setExpirationTime('5m').encode(),
      '',
      'x',
      'a.b.c',
      `${'a'.repeat(100_000)}.b.c`,
    ]
    for (const token of forged)
      await expect(oidc.prove(token), token.slice(0, 40)).rejects.toMatchObject({ code: 'jwt_invalid' })
    await expect(
      oidc.prove(
        await new SignJWT(claims({ nonce, iss: 'https://other.example' }))
          .setProtectedHeader({ alg: 'RS256' })
          .setIssuedAt()
          .setExpirationTime('5m')
          .sign(own.privateKey),
      ),
    ).rejects.toMatchObject({ code: 'issuer_unknown' })
    await expect(
      oidc.prove(
        await new SignJWT(claims({ nonce, aud: 'another-client' }))
          .setProtectedHeader({ alg: 'RS256' })
          .setIssuedAt()
          .setExpirationTime('5m')
          .sign(own.privateKey),
      ),
    ).rejects.toMatchObject({ code: 'jwt_audience' })
  })

  test('a provider that is not the one that was set is not asked', async () => {
    const { oidc } = await open('http://127.0.0.1:9')
    await expect(oidc.begin()).rejects.toMatchObject({ code: 'issuer_unreachable' })
    const cleartext = await open('http://provider.example')
    await expect(cleartext.oidc.begin()).rejects.toMatchObject({ code: 'issuer_unreachable' })
  })
})
