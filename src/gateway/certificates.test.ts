import 'reflect-metadata'
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import { createServer } from 'node:net'
import { connect, TLSSocket } from 'node:tls'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate as Oracle,
} from '@peculiar/x509'
import { expect, test } from 'vitest'
import { createAuthority, LEAF_LIFETIME_MILLISECONDS } from './certificates.ts'

const ecKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const authorityAt = (now: () => number) => createAuthority({ privateKey: ecKey(), leafKey: ecKey(), now, randomBytes })

/** Handshakes against a server with the context of `host`, and returns the leaf that the client verified. */
async function leafSeenBy(
  authority: ReturnType<typeof authorityAt>,
  host: string,
  servername = host,
): Promise<X509Certificate> {
  const server = createServer((socket) => {
    new TLSSocket(socket, { isServer: true, secureContext: authority.contextFor(host) }).on('error', () => undefined)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  try {
    return await new Promise((done, fail) => {
      const client = connect({ host: '127.0.0.1', port, servername, ca: authority.certificate }, () => {
        const peer = client.getPeerX509Certificate()
        client.destroy()
        if (peer === undefined) fail(new Error('no certificate'))
        else done(peer)
      })
      client.on('error', fail)
    })
  } finally {
    server.close()
  }
}

test('a leaf verifies for its host under the authority, and an independent parser reads the same', async () => {
  const authority = authorityAt(Date.now)
  const leaf = await leafSeenBy(authority, 'api.example.test')
  expect(leaf.subjectAltName).toBe('DNS:api.example.test')
  expect(leaf.checkIssued(new X509Certificate(authority.certificate))).toBe(true)

  const oracle = new Oracle(leaf.raw)
  const issuer = new Oracle(authority.certificate)
  expect(await oracle.verify({ publicKey: issuer.publicKey })).toBe(true)
  expect(oracle.getExtension(SubjectAlternativeNameExtension)?.names.toJSON()).toEqual([
    { type: 'dns', value: 'api.example.test' },
  ])
  expect(oracle.getExtension(BasicConstraintsExtension)?.ca).toBe(false)
  expect(oracle.getExtension(ExtendedKeyUsageExtension)?.usages).toEqual(['1.3.6.1.5.5.7.3.1'])
  expect(issuer.getExtension(BasicConstraintsExtension)).toMatchObject({ ca: true, pathLength: 0 })
  expect(issuer.getExtension(KeyUsagesExtension)?.usages).toBe(0x60)
  expect(oracle.getExtension('2.5.29.35')).not.toBeNull()
})

test('a leaf for one host is refused for another', async () => {
  await expect(leafSeenBy(authorityAt(Date.now), 'api.example.test', 'other.example.test')).rejects.toThrow(/altnames/)
})

test('leaves live at most a day and are made anew before they end', async () => {
  let now = Date.now()
  const authority = authorityAt(() => now)
  const leaf = await leafSeenBy(authority, 'a.example.test')
  expect(leaf.validToDate.getTime() - leaf.validFromDate.getTime()).toBeLessThanOrEqual(LEAF_LIFETIME_MILLISECONDS)
  const first = authority.contextFor('a.example.test')
  expect(authority.contextFor('a.example.test')).toBe(first)
  now += LEAF_LIFETIME_MILLISECONDS / 2 + 1
  expect(authority.contextFor('a.example.test')).not.toBe(first)
})

test('addresses stand in the certificate as addresses', async () => {
  const authority = authorityAt(Date.now)
  expect((await leafSeenBy(authority, '127.0.0.1', '')).subjectAltName).toBe('IP Address:127.0.0.1')
})

test('the authority keeps its name and key identifier over restarts, so that a leaf of today verifies with the certificate of yesterday', () => {
  const privateKey = ecKey()
  const options = { privateKey, leafKey: ecKey(), now: Date.now, randomBytes }
  const yesterday = new X509Certificate(createAuthority(options).certificate)
  const today = new X509Certificate(createAuthority(options).certificate)
  expect(today.verify(yesterday.publicKey)).toBe(true)
  expect(today.subject).toBe(yesterday.subject)
})
