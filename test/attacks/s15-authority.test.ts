import 'reflect-metadata'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls, rootCertificates } from 'node:tls'
import { Socket } from 'node:net'
import { inspect } from 'node:util'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as Oracle,
} from '@peculiar/x509'
import { expect } from 'vitest'
import { LEAF_LIFETIME_MILLISECONDS } from '../../src/gateway/certificates.ts'
import { createAuthority } from '../fakes/authority.ts'
import { codeOf, connectHead } from '../e2e/gateway/requests.ts'
import { startUpstream, always } from '../e2e/gateway/upstream.ts'
import { filesUnder } from '../harness.ts'
import { attack, fronts, inside } from './attack.ts'
import { usePlaces, type Placed } from './place.ts'

const places = usePlaces()
const tunnels = fronts.filter(({ door }) => door === 'tunnel')

/** The leaf that a client of this tunnel is shown; ALPN as the front speaks. */
async function leafFor(where: Placed, host: string, protocol: string): Promise<X509Certificate> {
  const wire = await places.stage.dial()
  wire.write(connectHead(`${host}:443`, where.login.token))
  expect((await wire.head()).status).toBe(200)
  const { socket } = wire
  socket.removeAllListeners('data')
  if (!(socket instanceof Socket)) throw new Error('no socket')
  const secure = connectTls({ socket, servername: host, ca: places.stage.app.caCertificate, ALPNProtocols: [protocol] })
  await new Promise<void>((done, fail) => secure.once('secureConnect', done).once('error', fail))
  const leaf = secure.getPeerX509Certificate()
  secure.destroy()
  if (leaf === undefined) throw new Error('no certificate')
  return leaf
}

attack(
  'S15',
  'the leaf is for its host alone, for a server alone, for a day at most, and names its issuer',
  tunnels,
  async (front) => {
    const where = await places.place()
    const leaf = await leafFor(where, where.held.host, front.protocol)
    const read = new Oracle(leaf.raw)
    const issuer = new Oracle(places.stage.app.caCertificate)
    expect(read.getExtension(SubjectAlternativeNameExtension)?.names.toJSON()).toEqual([
      { type: 'dns', value: where.held.host },
    ])
    expect(read.getExtension(ExtendedKeyUsageExtension)?.usages).toEqual(['1.3.6.1.5.5.7.3.1'])
    expect(read.getExtension(BasicConstraintsExtension)?.ca).toBe(false)
    expect(read.getExtension(AuthorityKeyIdentifierExtension)?.keyId).toBe(
      issuer.getExtension(SubjectKeyIdentifierExtension)?.keyId,
    )
    expect(issuer.getExtension(BasicConstraintsExtension)).toMatchObject({ ca: true, pathLength: 0 })
    expect(issuer.getExtension(KeyUsagesExtension)?.usages).toBe(0x60)
    const lives = leaf.validToDate.getTime() - leaf.validFromDate.getTime()
    expect(lives).toBeLessThanOrEqual(LEAF_LIFETIME_MILLISECONDS)
    expect(LEAF_LIFETIME_MILLISECONDS).toBeLessThanOrEqual(24 * 3_600_000)
    expect(leaf.validToDate.getTime()).toBeLessThanOrEqual(Date.now() + LEAF_LIFETIME_MILLISECONDS)
  },
)

/**
 * There are no name constraints, since hosts come and go while a child keeps its bundle. Instead of them: no
 * leaf exists for a host that no held credential lists.
 */
attack('S15', 'no leaf is made for a host that is not listed, or whose credential is gone', tunnels, async (front) => {
  const where = await places.place()
  for (const host of ['bank.example.net', 'www.example.org', `x.${where.held.host}`, `${where.held.host}.evil.test`]) {
    const wire = await places.stage.dial()
    wire.write(connectHead(`${host}:443`, where.login.token))
    expect(['host_refused', 'host_sibling', 'upstream_unreachable', 'host_not_listed'], host).toContain(
      codeOf(await wire.answer()),
    )
  }
  expect((await leafFor(where, where.held.host, front.protocol)).subjectAltName).toBe(`DNS:${where.held.host}`)
  await places.stage.app.credentials.remove(where.held.credentialId, 'test', { cascade: true })
  const wire = await places.stage.dial()
  wire.write(connectHead(`${where.held.host}:443`, where.login.token))
  expect((await wire.answer()).status).toBeGreaterThanOrEqual(400)
})

attack('S15', 'the key of the authority is in no file and no print', inside, async () => {
  const { app } = places.stage
  const key = app.vault.caKey()
  const der = key.export({ type: 'pkcs8', format: 'der' })
  const scalar = Buffer.from(String(key.export({ format: 'jwk' }).d), 'base64url')
  const pem = String(key.export({ type: 'pkcs8', format: 'pem' }))
    .split('\n')
    .slice(1, 3)
    .join('\n')
  expect(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).asymmetricKeyType).toBe('ec')
  const forms = [
    scalar,
    Buffer.from(scalar.toString('hex')),
    Buffer.from(scalar.toString('base64').slice(0, -2)),
    Buffer.from(pem),
  ]
  const texts = [
    ...filesUnder(app.config.home).map(({ path, bytes }) => ({ path, bytes })),
    { path: 'the app, printed', bytes: Buffer.from(inspect(app, { depth: 12, showHidden: true, getters: true })) },
    { path: 'the key, printed', bytes: Buffer.from(`${inspect(key, { showHidden: true })}${JSON.stringify(key)}`) },
  ]
  expect(texts.length).toBeGreaterThan(3)
  for (const { path, bytes } of texts) for (const form of forms) expect(bytes.includes(form), path).toBe(false)
  // Any of the forms would be found.
  expect(Buffer.concat([Buffer.alloc(9), scalar]).includes(forms[0] ?? '')).toBe(true)
})

attack(
  'S15',
  'the authority is in no trust of the machine, and a service that shows its leaf gets nothing',
  inside,
  async () => {
    const { app } = places.stage
    const own = new X509Certificate(app.caCertificate)
    const bundles = [
      '/etc/ssl/certs/ca-certificates.crt',
      '/etc/pki/tls/certs/ca-bundle.crt',
      '/etc/ssl/cert.pem',
    ].filter((path) => existsSync(path))
    for (const text of [...rootCertificates, ...bundles.map((path) => readFileSync(path, 'latin1'))])
      expect(text.includes(app.caCertificate.trim())).toBe(false)
    for (const root of rootCertificates) expect(new X509Certificate(root).subject).not.toBe(own.subject)
    for (const { path } of filesUnder(join(app.config.home))) expect(path).not.toMatch(/\.(?:key|p12|pfx)$/)
    // A leaf of some private authority stands for what Keyward would mint: trusted by the agent, never upstream.
    const stranger = await createAuthority('Keyward local authority')
    const upstream = await startUpstream(always(200, {}, 'ok'), { leaf: await stranger.issue(['api.vendor.test']) })
    try {
      const where = await places.place({ endpoint: upstream.origin, hosts: ['api.vendor.test'] })
      const answer = await places.ask({ name: 'base-url', door: 'base-url', protocol: 'http/1.1' }, where)
      expect(codeOf(answer)).toBe('upstream_untrusted')
      expect(upstream.received().length).toBe(0)
    } finally {
      await upstream.close()
    }
  },
)
