import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority, type Authority } from '../../fakes/authority.ts'
import { openStage, type Stage } from './harness.ts'
import { codeOf, type Held, type Login } from './requests.ts'
import { always, startUpstream, type Upstream } from './upstream.ts'

/** A credential leaves only over a connection that has proven itself: otherwise not a byte of the request does. */

let stage: Stage
let authority: Authority
const upstreams: Upstream[] = []

beforeAll(async () => {
  stage = await openStage()
  authority = await createAuthority()
})

afterAll(async () => {
  await stage.close()
  for (const one of upstreams) await one.close()
})

let count = 0
async function behind(
  names: readonly string[],
  options: { by?: Authority; trust?: Authority | null; notAfter?: number; host?: string } = {},
): Promise<{ held: Held; login: Login; upstream: Upstream }> {
  const leaf = await (options.by ?? authority).issue(
    names,
    options.notAfter === undefined ? {} : { notAfter: options.notAfter, notBefore: options.notAfter - 86_400_000 },
  )
  const upstream = await startUpstream(always(200, {}, 'ok'), { leaf })
  upstreams.push(upstream)
  const trust = options.trust === null ? {} : { trust: (options.trust ?? authority).certificate }
  const held = await stage.hold({
    id: `tls-${count++}`,
    endpoint: upstream.origin,
    hosts: [options.host ?? 'api.vendor.test'],
    ...trust,
  })
  return { held, login: await stage.login('triage'), upstream }
}

/** The absolute form has no place here: it is plain HTTP, and these services are reached by TLS alone. */
describe.each(['base-url', 'tunnel'] as const)('%s', (door) => {
  const ask = ({ held, login }: { held: Held; login: Login }) =>
    stage.request({ door, held, login, headers: [['Authorization', `Bearer ${login.placeholder(held)}`]] })

  test.each([
    ['its listed host', ['api-1.vendor.test']],
    ['the endpoint that the operator wrote down', ['127.0.0.1']],
    ['a wildcard over its host', ['*.vendor.test']],
  ])('a certificate for %s is good', async (_name, names) => {
    const place = await behind(names, { host: `api-1.vendor.test` })
    expect((await ask(place)).status).toBe(200)
    expect(place.upstream.got[0]?.headers.authorization).toBe(`Bearer ${place.held.secret()}`)
    expect(place.upstream.got[0]?.headers.host).toBe('api-1.vendor.test')
    await stage.app.credentials.remove(place.held.credentialId, 'test', { cascade: true })
  })

  test.each<[string, () => Promise<Awaited<ReturnType<typeof behind>>>]>([
    ['for another host', () => behind(['other.vendor.test'])],
    ['for a look-alike', () => behind(['api.vendor.test.evil.test'])],
    ['for a deeper name than its wildcard reaches', () => behind(['*.test'])],
    ['for another address', () => behind(['127.0.0.2'])],
    ['of an authority that nobody named', () => behind(['api.vendor.test'], { trust: null })],
    [
      'of another authority than the named one',
      async () => behind(['api.vendor.test'], { by: await createAuthority('Stranger') }),
    ],
    ['that has expired', () => behind(['api.vendor.test'], { notAfter: Date.now() - 60_000 })],
  ])('a certificate %s gets nothing', async (_name, make) => {
    const place = await make()
    const answer = await ask(place)
    expect({ code: codeOf(answer), status: answer.status }).toEqual({ code: 'upstream_untrusted', status: 502 })
    expect(place.upstream.received().length).toBe(0)
    expect(
      (await stage.journaled({ kind: 'outcome', code: 'upstream_untrusted', since: Date.now() - 5_000 })).event,
    ).toMatchObject({ agent: 'triage', outcome: 'refused', bytesUp: 0 })
    await stage.app.credentials.remove(place.held.credentialId, 'test', { cascade: true })
  })

  test('Keyward’s own authority is not trusted upstream', async () => {
    const place = await behind(['api.vendor.test'], { trust: null })
    expect(codeOf(await ask(place))).toBe('upstream_untrusted')
    await stage.app.credentials.remove(place.held.credentialId, 'test', { cascade: true })
  })

  test('a service that speaks no TLS where TLS is expected gets nothing', async () => {
    const plain = await startUpstream(always(200, {}, 'ok'))
    upstreams.push(plain)
    const held = await stage.hold({
      id: `plain-${door}`,
      endpoint: plain.origin.replace('http:', 'https:'),
      hosts: ['api.vendor.test'],
    })
    const login = await stage.login('triage')
    expect(['upstream_unreachable', 'upstream_broken']).toContain(codeOf(await ask({ held, login })))
    expect(plain.got).toEqual([])
    expect(plain.received().includes(held.secret())).toBe(false)
    await stage.app.credentials.remove(held.credentialId, 'test', { cascade: true })
  })

  test('a connection does not outlive the trust that allowed it', async () => {
    const place = await behind(['api.vendor.test'])
    expect((await ask(place)).status).toBe(200)
    const other = await createAuthority()
    const definition = stage.app.services.get(place.held.id)
    await stage.app.records.commit(
      [
        {
          table: 'service',
          id: place.held.id,
          body: { definition: { ...definition, trust: other.certificate }, createdAt: 1 },
        },
      ],
      { actor: 'test', action: 'service.set' },
    )
    const before = place.upstream.received().length
    expect(codeOf(await ask(place))).toBe('upstream_untrusted')
    expect(place.upstream.received().length).toBe(before)
    await stage.app.credentials.remove(place.held.credentialId, 'test', { cascade: true })
  })
})

test('a credential of a TLS service never goes out in clear, whatever the agent asks', async () => {
  const place = await behind(['api.vendor.test'])
  const answer = await stage.request({
    door: 'absolute',
    held: place.held,
    login: place.login,
    headers: [['Authorization', `Bearer ${place.login.placeholder(place.held)}`]],
  })
  expect({ code: codeOf(answer), status: answer.status }).toEqual({ code: 'cleartext_refused', status: 403 })
  expect(place.upstream.received().length).toBe(0)
})
