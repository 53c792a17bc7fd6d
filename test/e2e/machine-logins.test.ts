import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer, type Server as HttpServer } from 'node:http'
import { exportJWK, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority, type Authority } from '../fakes/authority.ts'
import { freePort, openHouse, type House, type Server } from '../harness.ts'

/** Machines that log in by themselves, from the command line to the control API of a server on a port with TLS. */

const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
const audience = 'https://keyward.example.test'
let house: House
let server: Server
let authority: Authority
let issuer: HttpServer
let issuerUrl = ''
let url = ''

beforeAll(async () => {
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'one', use: 'sig', alg: 'RS256' }
  issuer = createServer((request, response) => {
    const documents: Record<string, unknown> = {
      '/.well-known/openid-configuration': { issuer: issuerUrl, jwks_uri: `${issuerUrl}/keys` },
      '/keys': { keys: [jwk] },
    }
    const document = documents[request.url ?? '']
    response.writeHead(document === undefined ? 404 : 200).end(JSON.stringify(document ?? {}))
  })
  await new Promise<void>((done) => issuer.listen(0, '127.0.0.1', done))
  const bound = issuer.address()
  issuerUrl = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`
  authority = await createAuthority()
  const leaf = await authority.issue(['localhost', '127.0.0.1'])
  house = openHouse()
  const port = await freePort()
  url = `https://127.0.0.1:${port}`
  server = await house.up({
    args: ['--listen', `127.0.0.1:${port}`],
    variables: {
      KEYWARD_TLS_CERTIFICATE_FILE: house.write('server.pem', leaf.cert),
      KEYWARD_TLS_KEY_FILE: house.write('server.key', leaf.key, 0o600),
      KEYWARD_TLS_CLIENT_CA_FILE: house.write('clients.pem', authority.certificate),
    },
  })
  house.write('ca.pem', authority.certificate)
  await house.expectDone(['agent', 'add', 'build', '--env', 'prod'])
}, 60_000)

afterAll(async () => {
  await server.stop()
  issuer.close()
  await house.close()
})

const remote = (...args: string[]) => house.keyward([...args, '--server', url, '--ca-file', 'ca.pem'])

function tokenFor(claims: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const body = {
    iss: issuerUrl,
    aud: audience,
    sub: 'repo:org/app:ref:refs/heads/main',
    iat: now,
    exp: now + 300,
    ...claims,
  }
  return new SignJWT(body).setProtectedHeader({ alg: 'RS256', kid: 'one', typ: 'JWT' }).sign(keys.privateKey)
}

describe('an enrolment secret', () => {
  test('logs its agent in once, of two that try at the same time one; the list says how', async () => {
    const made = JSON.parse(await house.expectDone(['agent', 'enrol', 'build', '--env', 'prod', '--json']))
    expect(made.secret).toMatch(/^kwe_/)
    house.write('secret', `${made.secret}\n`)
    const tried = await Promise.all(
      [1, 2].map(() => remote('session', 'login', '--enrolment-file', 'secret', '--json')),
    )
    const [good] = tried.filter(({ code }) => code === 0)
    const [bad] = tried.filter(({ code }) => code !== 0)
    expect(bad?.err).toContain('was used before')
    const session = JSON.parse(good?.out ?? '')
    expect(session).toMatchObject({ agent: 'build', environment: 'prod', egress: 'deny' })
    const shown = JSON.parse(await house.expectDone(['session', 'show', session.id, '--json']))
    expect(shown.login).toEqual({ kind: 'enrolment', by: made.id, subject: null })
    const refusals = await house.expectDone(['journal', 'search', '--kind', 'refusal', '--json'])
    expect(refusals).toContain('enrolment_used')
    expect(house.outputs.filter(({ command }) => command.includes('journal')).join('')).not.toContain(made.secret)
  })
})

describe('a token of an issuer', () => {
  test('logs in whom the trust names; every other gets a code and what to do', async () => {
    const args = ['--issuer', issuerUrl, '--audience', audience, '--claim', 'sub=repo:org/app:ref:refs/heads/*']
    const trust = JSON.parse(await house.expectDone(['agent', 'trust', 'build', '--env', 'prod', ...args, '--json']))
    house.write('token', await tokenFor())
    const session = JSON.parse((await remote('session', 'login', '--jwt-file', 'token', '--json')).out)
    expect(session).toMatchObject({ agent: 'build', environment: 'prod' })
    for (const [claims, says] of [
      [{ aud: 'https://else.example.test' }, 'made for somebody else'],
      [{ iss: 'https://else.example.test' }, 'takes the word of this issuer'],
      [{ sub: 'repo:evil/app:ref:refs/heads/main' }, 'no machine that is an agent'],
      [{ exp: Math.floor(Date.now() / 1000) - 120 }, 'has expired'],
    ] as const) {
      house.write('other', await tokenFor(claims))
      const refused = await remote('session', 'login', '--jwt-file', 'other')
      expect(refused).toMatchObject({ code: 1, out: '' })
      expect(refused.err).toContain(says)
    }
    const printed = await house.keyward([
      'env',
      '--token-file',
      'token',
      '--format',
      'json',
      '--server',
      url,
      '--ca-file',
      'ca.pem',
    ])
    expect(JSON.parse(printed.out)).toMatchObject({ HTTPS_PROXY: expect.stringContaining('kws_') })
    const ran = await house.keyward([
      'run',
      '--token-file',
      'token',
      '--contain',
      'none',
      '--server',
      url,
      '--ca-file',
      'ca.pem',
      '--',
      'printenv',
      'HTTPS_PROXY',
    ])
    expect(ran).toMatchObject({ code: 0, out: expect.stringContaining('kws_') })
    const listed = JSON.parse(await house.expectDone(['session', 'list', '--all', '--json']))
    const byRun = listed.filter((one: { state: string }) => one.state === 'revoked')
    expect(byRun).toMatchObject([{ login: { kind: 'jwt', by: trust.id, subject: 'repo:org/app:ref:refs/heads/main' } }])
    await house.expectDone(['agent', 'distrust', trust.id])
    expect((await remote('session', 'login', '--jwt-file', 'token')).err).toContain('takes the word of this issuer')
    const after = JSON.parse(await house.expectDone(['session', 'show', session.id, '--json']))
    expect(after.state).toBe('revoked')
  }, 60_000)

  test('the token file is read again for a renewal; the text of the session stays', async () => {
    const args = ['--issuer', issuerUrl, '--audience', audience, '--claim', 'sub=repo:org/app:ref:refs/heads/main']
    await house.expectDone(['agent', 'trust', 'build', '--env', 'prod', ...args])
    const client = house.client()
    const session = await client.call('POST /machine/logins', {}, { jwt: await tokenFor(), ttlSeconds: 900 })
    const renewed = await client.call(
      'POST /machine/renewals',
      {},
      { jwt: await tokenFor(), token: session.token, ttlSeconds: 3600 },
    )
    expect(renewed.expiresAt).toBeGreaterThan(session.expiresAt)
    const elsewhere = await tokenFor({ sub: 'repo:org/app:ref:refs/heads/other' })
    const wrong = client.call('POST /machine/renewals', {}, { jwt: elsewhere, token: session.token })
    await expect(wrong).rejects.toMatchObject({ code: 'jwt_foreign' })
    await client.call('POST /machine/logouts', {}, { token: session.token })
    const over = client.call('POST /machine/renewals', {}, { jwt: await tokenFor(), token: session.token })
    await expect(over).rejects.toMatchObject({ code: 'session_revoked' })
  })
})

describe('a client certificate', () => {
  test('with one SPIFFE id, of the authority that the server takes, logs its agent in; no other does', async () => {
    await house.expectDone([
      'agent',
      'trust',
      'build',
      '--env',
      'prod',
      '--spiffe',
      'spiffe://example.test/ns/*/sa/build',
    ])
    const stranger = await createAuthority()
    const login = async (by: Authority, uris: readonly string[]) => {
      const leaf = await by.issue(['workload'], { uris })
      house.write('client.pem', leaf.cert)
      house.write('client.key', leaf.key, 0o600)
      return remote('session', 'login', '--certificate-file', 'client.pem', '--key-file', 'client.key', '--json')
    }
    const id = 'spiffe://example.test/ns/prod/sa/build'
    expect(JSON.parse((await login(authority, [id])).out)).toMatchObject({ agent: 'build' })
    for (const [by, uris, says] of [
      [stranger, [id], 'no client certificate'],
      [authority, [], 'no client certificate'],
      [authority, [id, 'spiffe://example.test/other'], 'no client certificate'],
      [authority, ['spiffe://example.test/ns/a/b/sa/build'], 'no machine that is an agent'],
      [authority, ['spiffe://evil.example.test/ns/prod/sa/build'], 'no machine that is an agent'],
    ] as const) {
      const refused = await login(by, uris)
      expect(refused, says).toMatchObject({ code: 1, out: '' })
      expect(refused.err).toContain(says)
    }
  }, 60_000)
})

test('failures are bounded for each address, and those of one way in do not shut out the owner', async () => {
  const codes = new Set<string>()
  for (let n = 0; n < 80; n += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const answer = await house
      .client()
      .call('POST /machine/logins', {}, { enrolment: `kwe_${randomBytes(19).toString('hex')}` })
      .then(
        () => 'none',
        (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
      )
    codes.add(answer)
  }
  expect([...codes].toSorted()).toEqual(['enrolment_invalid', 'too_many_attempts'])
  expect((await house.keyward(['agent', 'list'])).code).toBe(0)
}, 60_000)
