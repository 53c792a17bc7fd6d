import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

x509.cryptoProvider.set(webcrypto)

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const dayMilliseconds = 86_400_000

/** PEM texts, as `tls.createServer` takes them. */
export interface Leaf {
  readonly key: string
  readonly cert: string
}

export interface LeafOptions {
  /** Milliseconds since the epoch; by default from yesterday to tomorrow. */
  readonly notBefore?: number
  readonly notAfter?: number
  /** URIs that it names beside, as a SPIFFE id is one. */
  readonly uris?: readonly string[]
}

/** A certificate authority that lives as long as the test. Its key never leaves this object. */
export interface Authority {
  /** PEM text of the root. */
  readonly certificate: string
  /** Mints a leaf for host names and IP addresses. */
  issue(names: readonly string[], options?: LeafOptions): Promise<Leaf>
}

export async function createAuthority(commonName = 'Keyward test authority'): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${commonName}`,
    notBefore: new Date(Date.now() - dayMilliseconds),
    notAfter: new Date(Date.now() + dayMilliseconds),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return {
    certificate: root.toString('pem'),
    issue: async (names, options = {}) => {
      const leafKeys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: serial(),
        subject: `CN=${names[0] ?? 'leaf'}`,
        issuer: root.subject,
        notBefore: new Date(options.notBefore ?? Date.now() - dayMilliseconds),
        notAfter: new Date(options.notAfter ?? Date.now() + dayMilliseconds),
        signingAlgorithm: algorithm,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          new x509.SubjectAlternativeNameExtension([
            ...names.map((value) => ({ type: isAddress(value) ? ('ip' as const) : ('dns' as const), value })),
            ...(options.uris ?? []).map((value) => ({ type: 'url' as const, value })),
          ]),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
          await x509.SubjectKeyIdentifierExtension.create(leafKeys.publicKey),
        ],
      })
      const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey)
      return { key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'), cert: leaf.toString('pem') }
    },
  }
}

function serial(): string {
  return `01${randomBytes(15).toString('hex')}`
}

function isAddress(name: string): boolean {
  return /^[\d.]+$/.test(name) || name.includes(':')
}
