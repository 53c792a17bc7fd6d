import { randomBytes } from 'node:crypto'
import { readings, leaksIn } from '../clients/leaks.ts'

/** Known secrets of several shapes, new in every run. Each can be told from all the others. */
export function makeSecrets() {
  const random = (bytes: number): string => randomBytes(bytes).toString('hex')
  const pem = (label: string): string => {
    const lines = [random(32), random(32), random(20)].map((hex) => Buffer.from(hex, 'hex').toString('base64'))
    return ['-----BEGIN ', label, '-----\n', lines.join('\n'), '\n-----END ', label, '-----'].join('')
  }
  return {
    bearer: `canary-${random(24)}`,
    rotated: `canary-second-${random(24)}`,
    user: `user.${random(10)}@example.test`,
    password: `pass:${random(8)}"'<&>%+/=?#;,~|^ \\${random(8)}`,
    header: `hdr_${randomBytes(24).toString('base64url')}`,
    query: `q ü€+&=%41${random(16)}`,
    path: `${random(6)}:path-${random(18)}`,
    pem: pem(['PRIVATE', 'KEY'].join(' ')),
    json: JSON.stringify({ type: 'service_account', private_key: `line\n${random(24)}`, id: random(4) }),
    imported: `gsk_${random(26)}`,
    adopted: `tvly-${random(20)}`,
    adoptedFromFile: `sk-or-v1-${random(32)}`,
  }
}

export type Secrets = ReturnType<typeof makeSecrets>

/** Bytes of a secret that may not occur in a row either: what is cut in two has leaked all the same. */
const WINDOW = 16

/**
 * "NAME as FORM" for every form of every secret in these bytes. HTTP answers in them are read with
 * their codings undone as well.
 */
export function findLeaks(bytes: Buffer, secrets: Readonly<Record<string, string>>): string[] {
  const found = new Set<string>()
  for (const reading of bytes.includes('HTTP/1.1 ') ? readings(bytes) : [bytes]) {
    for (const leak of leaksIn(reading, secrets)) found.add(leak)
    for (const [name, secret] of Object.entries(secrets)) {
      for (const [form, needle] of moreForms(secret)) {
        if (needle !== secret && reading.includes(needle)) found.add(`${name} as ${form}`)
      }
      if ([...found].some((leak) => leak.startsWith(`${name} `))) continue
      for (const [form, needle] of pieces(secret)) if (reading.includes(needle)) found.add(`${name} as ${form}`)
    }
  }
  return [...found]
}

function moreForms(secret: string): [string, string][] {
  const json = JSON.stringify(secret).slice(1, -1)
  const uri = encodeURIComponent(secret)
  return [
    ['JSON escapes of characters', disguises['JSON escapes']?.(secret) ?? secret],
    ['JSON text', json],
    ['JSON text in JSON text', JSON.stringify(json).slice(1, -1)],
    ['URI component', uri],
    ['URI component, lower case', uri.replaceAll(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase())],
    ['form', new URLSearchParams([['v', secret]]).toString().slice(2)],
  ]
}

function pieces(secret: string): [string, string][] {
  const own = distinctive(secret)
  const forms: [string, string][] = []
  for (let at = 0; at + WINDOW <= own.length; at += WINDOW / 2)
    forms.push([`a piece from ${at}`, own.slice(at, at + WINDOW)])
  return forms
}

/** The random middle of a secret: its framing (`-----BEGIN`, member names) is no secret. */
function distinctive(secret: string): string {
  return secret.match(/[0-9a-f]{16,}|[A-Za-z0-9_-]{32,}/)?.[0] ?? ''
}

/** Each way in which a thief might write a secret down; the search must find every one. */
export const disguises: Readonly<Record<string, (secret: string) => string>> = {
  plain: (secret) => secret,
  base64: (secret) => Buffer.from(secret).toString('base64'),
  'base64 at 1': (secret) => Buffer.from(`x${secret}y`).toString('base64'),
  'base64 at 2': (secret) => Buffer.from(`xx${secret}yy`).toString('base64'),
  base64url: (secret) => Buffer.from(secret).toString('base64url'),
  hex: (secret) => Buffer.from(secret).toString('hex'),
  HEX: (secret) => Buffer.from(secret).toString('hex').toUpperCase(),
  percent: (secret) => [...Buffer.from(secret)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  'URI component': (secret) => encodeURIComponent(secret),
  JSON: (secret) => JSON.stringify({ secret }),
  'JSON escapes': (secret) =>
    [...secret].map((letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  backwards: (secret) => [...secret].toReversed().join(''),
}
