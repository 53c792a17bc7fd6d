import { createHash, createPublicKey, sign, type KeyObject } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import { bits, integer, objectId, octets, sequence, tagged, time, utf8, yes } from './der.ts'

/** A leaf lives at most a day (SECURITY.md, "The certificate authority"). */
export const LEAF_LIFETIME_MILLISECONDS = 24 * 3_600_000
/** An authority certificate is made at each start for the key that stays, and outlives any run. */
export const AUTHORITY_LIFETIME_MILLISECONDS = 365 * 24 * 3_600_000
/** A clock of the agent's machine may be this much behind. */
const BACKDATE_MILLISECONDS = 3_600_000
/** Hosts with a leaf in memory; past this the oldest is forgotten and made again when asked for. */
export const LEAVES_MAXIMUM = 1_000

const ECDSA_SHA256 = sequence(objectId('1.2.840.10045.4.3.2'))
const SUBJECT = sequence(
  tagged(0x31, sequence(objectId('2.5.4.10'), utf8('Keyward'))),
  tagged(0x31, sequence(objectId('2.5.4.3'), utf8('Keyward local authority'))),
)

/**
 * Keyward's own certificate authority: it opens the TLS of its agents for listed hosts. The key never
 * leaves memory; the profile is RFC 5280's (P-256, SHA-256, key identifiers, path length 0).
 */
export interface Authority {
  /** PEM. */
  readonly certificate: string
  /** A context with a leaf for `host`, and for nothing else. */
  contextFor(host: string): SecureContext
}

export function createAuthority(options: {
  privateKey: KeyObject
  leafKey: KeyObject
  now: () => number
  randomBytes: (count: number) => Buffer
}): Authority {
  const { privateKey, leafKey, now, randomBytes } = options
  const serial = () => Buffer.concat([Buffer.from([0x01]), randomBytes(15)])
  const authorityKey = publicKeyOf(privateKey)
  const certificate = mint({
    signer: privateKey,
    serial: serial(),
    subject: SUBJECT,
    publicKey: authorityKey,
    notBefore: now() - BACKDATE_MILLISECONDS,
    notAfter: now() + AUTHORITY_LIFETIME_MILLISECONDS,
    extensions: [
      extension('2.5.29.19', sequence(yes, integer(Buffer.from([0]))), true),
      extension('2.5.29.15', bits(Buffer.from([0x06]), 1), true),
      extension('2.5.29.14', octets(keyIdOf(authorityKey))),
    ],
  })
  const leaves = new Map<string, { readonly context: SecureContext; readonly from: number; readonly renewAt: number }>()
  const leafPublicKey = publicKeyOf(leafKey)
  const leafPem = leafKey.export({ type: 'pkcs8', format: 'pem' })

  return {
    certificate,
    contextFor(host) {
      const known = leaves.get(host)
      // A clock that was set back stands before what was made by the old one.
      if (known !== undefined && now() >= known.from && now() < known.renewAt) return known.context
      const leaf = mint({
        signer: privateKey,
        serial: serial(),
        subject: sequence(tagged(0x31, sequence(objectId('2.5.4.3'), utf8(host.slice(0, 64))))),
        publicKey: leafPublicKey,
        notBefore: now() - BACKDATE_MILLISECONDS,
        notAfter: now() - BACKDATE_MILLISECONDS + LEAF_LIFETIME_MILLISECONDS,
        extensions: [
          extension('2.5.29.19', sequence(), true),
          extension('2.5.29.15', bits(Buffer.from([0x80]), 7), true),
          extension('2.5.29.37', sequence(objectId('1.3.6.1.5.5.7.3.1'))),
          extension('2.5.29.17', sequence(alternativeName(host))),
          extension('2.5.29.14', octets(keyIdOf(leafPublicKey))),
          extension('2.5.29.35', sequence(tagged(0x80, keyIdOf(authorityKey)))),
        ],
      })
      const context = createSecureContext({ key: leafPem, cert: leaf + certificate, minVersion: 'TLSv1.2' })
      const oldest = leaves.keys().next()
      if (leaves.size >= LEAVES_MAXIMUM && !oldest.done) leaves.delete(oldest.value)
      leaves.set(host, {
        context,
        from: now() - BACKDATE_MILLISECONDS,
        renewAt: now() + LEAF_LIFETIME_MILLISECONDS / 2,
      })
      return context
    },
  }
}

interface Minting {
  readonly signer: KeyObject
  readonly serial: Uint8Array
  readonly subject: Buffer
  readonly publicKey: Buffer
  readonly notBefore: number
  readonly notAfter: number
  readonly extensions: readonly Buffer[]
}

function mint(m: Minting): string {
  const content = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(m.serial),
    ECDSA_SHA256,
    SUBJECT,
    sequence(time(m.notBefore), time(m.notAfter)),
    m.subject,
    m.publicKey,
    tagged(0xa3, sequence(...m.extensions)),
  )
  const der = sequence(content, ECDSA_SHA256, bits(sign('sha256', content, m.signer)))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return critical ? sequence(objectId(id), yes, octets(value)) : sequence(objectId(id), octets(value))
}

function publicKeyOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' })
}

/** RFC 7093 method 1: the leftmost 160 bits of the SHA-256 of the public key. */
function keyIdOf(publicKey: Buffer): Buffer {
  return createHash('sha256').update(publicKey).digest().subarray(0, 20)
}

function alternativeName(host: string): Buffer {
  if (isIPv4(host)) return tagged(0x87, Buffer.from(host.split('.').map(Number)))
  if (isIPv6(host)) return tagged(0x87, ipv6Bytes(host))
  return tagged(0x82, Buffer.from(host, 'latin1'))
}

function ipv6Bytes(text: string): Buffer {
  const [left = '', right] = text.split('::')
  const words = (part: string) => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)))
  const head = words(left)
  const tail = right === undefined ? [] : words(right)
  const all =
    right === undefined ? head : [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail]
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 0xff]))
}
