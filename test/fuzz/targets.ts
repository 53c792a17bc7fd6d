import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { differenceBetween } from '../attacks/corpus/compare.ts'
import { hostileRequest } from '../attacks/corpus/grammar.ts'
import { isKnownIn } from '../attacks/corpus/known-differences.ts'
import { readWithOwn } from '../attacks/corpus/own.ts'
import { randomFrom, type Random } from '../attacks/corpus/random.ts'
import { readWithNode } from '../attacks/corpus/reference.ts'
import { parseAuthority, parseTarget } from '../../src/core/canonical-target.ts'
import { needlesOf, type NeedleSet } from '../../src/core/needles.ts'
import { createScrubber, scrubBytes } from '../../src/core/scrub.ts'
import { HELLO_MAXIMUM_BYTES, readServerName } from '../../src/gateway/server-name.ts'
import { FrameReader, frameOf } from '../../src/gateway/websocket/frames.ts'
import { framesFault } from './frames.ts'
import { cut, mutate } from './mutate.ts'

/** What one try may find: the input, and what is wrong with what became of it. */
export interface Violation {
  readonly bytes: Uint8Array
  readonly what: string
}

export interface Target {
  readonly name: string
  /** One try, drawn from `random`. Null: all was well. */
  attempt(random: Random): Promise<Violation | null> | Violation | null
}

/** Requests longer than this are left to the corpus: they take the time of a thousand others. */
const LONGEST_BYTES = 4_000
const CORPUS_COUNT = 5_000

function entry(random: Random): Buffer {
  for (;;) {
    const { bytes } = hostileRequest(1, random.below(CORPUS_COUNT))
    if (bytes.length <= LONGEST_BYTES) return bytes
  }
}

/** Keyward's HTTP/1.1 codec beside llhttp: it may refuse more, never accept more nor read differently, however the bytes are cut. */
const codec: Target = {
  name: 'codec',
  async attempt(random) {
    const bytes = mutate(entry(random), entry(random), random)
    const own = await readWithOwn(bytes)
    const difference = differenceBetween(own, await readWithNode(bytes))
    if (difference !== null && !isKnownIn(bytes)) return { bytes, what: difference }
    const pieces = await readWithOwn(cut(bytes, random))
    const same = JSON.stringify(pieces.requests) === JSON.stringify(own.requests)
    return same ? null : { bytes, what: 'cut into pieces it is read differently' }
  },
}

const SECRET_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.~'

/** Secrets whose needles are made once: making them takes longer than a hundred tries. */
const SECRETS_COUNT = 24
const secrets = new Map<
  number,
  { readonly secret: string; readonly needles: NeedleSet; readonly forms: readonly string[] }
>()

function secretAt(index: number) {
  const known = secrets.get(index)
  if (known !== undefined) return known
  const random = randomFrom(index)
  const secret = Array.from({ length: 20 + random.below(30) }, () => random.pick([...SECRET_CHARACTERS])).join('')
  const made = {
    secret,
    needles: needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }]),
    forms: [
      secret,
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret).toString('hex'),
      encodeURIComponent(secret),
      JSON.stringify(secret),
      [...secret].toReversed().join(''),
    ],
  }
  secrets.set(index, made)
  return made
}

/** The scrubber: what comes out holds no secret and does not depend on how the bytes were cut. */
const scrubber: Target = {
  name: 'scrubber',
  attempt(random) {
    const { secret, needles, forms } = secretAt(random.below(SECRETS_COUNT))
    const noise = mutate(entry(random), entry(random), random)
    const parts: Buffer[] = []
    for (let left = 1 + random.below(4); left > 0; left--) {
      const from = random.below(noise.length + 1)
      parts.push(noise.subarray(from, from + random.below(60)))
      const form = Buffer.from(random.pick(forms), 'latin1')
      parts.push(random.chance(0.7) ? form : form.subarray(0, random.below(form.length)))
    }
    const bytes = Buffer.concat(parts)
    const once = Buffer.from(scrubBytes(needles, bytes).bytes)
    if (once.includes(secret)) return { bytes, what: 'the secret came through' }
    const stream = createScrubber(needles)
    const pieces = [...cut(bytes, random).flatMap((piece) => stream.push(piece)), ...stream.end()]
    if (!Buffer.concat(pieces).equals(once)) return { bytes, what: 'cut into pieces it is scrubbed differently' }
    return null
  },
}

const PATHS = [
  '/v1/chat/completions',
  '/a/../b',
  '/%2e%2e/x',
  '/a%2fb',
  '/a?b=c&d=%20',
  '//x',
  '/a;b',
  '/%C3%A9',
  '/*',
  '/',
].map((text) => Buffer.from(text))
const AUTHORITIES = [
  'api.example.test',
  'API.example.test.:443',
  '[::1]:80',
  '[::ffff:169.254.169.254]',
  '127.0.0.1',
  '0x7f.1',
  'xn--a',
  'a_b.c',
  '2130706433:1',
  '[fe80::1]',
].map((text) => Buffer.from(text))

/** Paths and authorities: what is accepted is read again as the same, and so by the WHATWG parser. */
const target: Target = {
  name: 'target',
  attempt(random) {
    const bytes = mutate(random.pick(PATHS), random.pick(PATHS), random)
    const fault = targetFault(bytes.toString('latin1'), random.chance(0.5))
    if (fault !== null) return { bytes, what: fault }
    const host = mutate(random.pick(AUTHORITIES), random.pick(AUTHORITIES), random)
    const wrong = authorityFault(host.toString('latin1'))
    return wrong === null ? null : { bytes: host, what: wrong }
  },
}

function targetFault(raw: string, encodedSlash: boolean): string | null {
  const read = parseTarget(raw, { encodedSlash })
  if ('refusal' in read) return null
  if (read.target !== raw) return 'what is accepted was changed'
  const url = new URL(`http://host${raw}`)
  // The WHATWG parser writes an apostrophe in a query as an escape; to every reader that is the same query.
  const again = (url.pathname + (raw.includes('?') ? `?${url.search.slice(1)}` : '')).replaceAll('%27', "'")
  if (again !== raw.replaceAll('%27', "'")) return `the WHATWG parser reads ${again}`
  const path = decodeURIComponent(url.pathname)
  const segments = path.split('/')
  if (segments.some((segment) => segment === '.' || segment === '..')) return 'a segment of dots, once it is unescaped'
  return path.includes('\\') || path.includes(';') ? 'a separator, once it is unescaped' : null
}

function authorityFault(raw: string): string | null {
  const read = parseAuthority(raw)
  if ('refusal' in read) return null
  const name = read.kind === 'ipv6' ? `[${read.host}]` : read.host
  const again = parseAuthority(read.port === null ? name : `${name}:${read.port}`)
  if (JSON.stringify(again) !== JSON.stringify(read)) return `read again it is ${JSON.stringify(again)}`
  let url: URL
  try {
    url = new URL(`ws://${raw}/`)
  } catch {
    // A label of punycode that is none: no WHATWG client could have sent it.
    return /(?:^|\.)xn--/i.test(raw) ? null : 'the WHATWG parser refuses it'
  }
  const [host, port] = [url.hostname.replace(/\.$/, ''), url.port === '' ? 80 : Number(url.port)]
  return host === name && port === (read.port ?? 80) ? null : `the WHATWG parser reads ${host}:${port}`
}

/** The first flight of Node's own TLS client. */
function helloFor(servername: string): Promise<Buffer> {
  return new Promise((done) => {
    const wire = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _coding, next) {
        done(chunk)
        next()
      },
    })
    const client = connectTls({ socket: wire, ...(servername === '' ? {} : { servername }) })
    client.on('error', () => undefined)
  })
}

let hellos: readonly Buffer[] | null = null

/** ClientHello: more bytes never change what was read, no part is read as a whole, and nothing is read past its bound. */
const hello: Target = {
  name: 'hello',
  async attempt(random) {
    hellos ??= await Promise.all(['api.example.test', 'x.test', ''].map(helloFor))
    const bytes = mutate(random.pick(hellos), random.pick(hellos), random)
    const whole = readServerName(bytes)
    if (whole.state === 'read' && whole.serverName !== null && !/^[a-z0-9._-]{1,253}$/.test(whole.serverName))
      return { bytes, what: 'a name that is none' }
    if (whole.state === 'more' && bytes.length > HELLO_MAXIMUM_BYTES + 16_389)
      return { bytes, what: 'still waiting beyond the bound' }
    if (whole.state !== 'more') {
      const longer = readServerName(Buffer.concat([bytes, mutate(Buffer.from('more'), bytes, random)]))
      if (whole.state === 'read' && JSON.stringify(longer) !== JSON.stringify(whole))
        return { bytes, what: `with more bytes it reads ${JSON.stringify(longer)}` }
    }
    const part = readServerName(bytes.subarray(0, random.below(bytes.length + 1)))
    if (part.state === 'read' && JSON.stringify(part) !== JSON.stringify(whole))
      return { bytes, what: `a part of it reads ${JSON.stringify(part)}` }
    return null
  },
}

/** What a reader of WebSocket frames told, pieces of one message put together. */
function framesRead(pieces: readonly Buffer[], masked: boolean): string {
  const told: string[] = []
  let held = ''
  const reader = new FrameReader(masked, {
    begin: (kind) => (told.push(kind), null),
    data: (piece) => ((held += piece.toString('latin1')), null),
    end: () => (told.push(`ends ${JSON.stringify(held)}`), (held = ''), null),
    control: (kind, payload) => (told.push(`${kind} ${payload.toString('hex')}`), null),
  })
  let fault: string | null = null
  for (const piece of pieces) fault ??= reader.push(Buffer.from(piece))?.why ?? null
  return JSON.stringify([told, held, fault])
}

/** WebSocket: how frames are cut makes no difference, and what is written is read as what it was. */
const frames: Target = {
  name: 'frames',
  attempt(random) {
    const masked = random.chance(0.5)
    const mask = (): Buffer | null => (masked ? Buffer.from([1, 2, 3, random.below(256)]) : null)
    const made = Array.from({ length: 1 + random.below(4) }, () => {
      const payload = Buffer.alloc(random.pick([0, 1, 5, 125, 126, 200, 65_536]), 0x61)
      return random.chance(0.3)
        ? frameOf(random.pick(['ping', 'pong', 'close']), true, [payload.subarray(0, 125)], mask())
        : frameOf(random.pick(['text', 'binary', null]), random.chance(0.7), [payload], mask())
    })
    const whole = Buffer.concat(made)
    const bytes = random.chance(0.3) ? whole : mutate(whole, whole, random)
    const once = framesRead([bytes], masked)
    return framesRead(cut(bytes, random), masked) === once
      ? null
      : { bytes, what: 'cut into pieces it is read differently' }
  },
}

/** Messages of a WebSocket: what is passed on can be read, holds no secret, and does not depend on how the bytes were cut. */
const messages: Target = { name: 'messages', attempt: framesFault }

export const targets: readonly Target[] = [codec, scrubber, target, hello, frames, messages]

/** Try number `index` of a target under this seed. */
export async function attempt(fuzzed: Target, seed: number, index: number): Promise<Violation | null> {
  return fuzzed.attempt(randomFrom(seed, targets.indexOf(fuzzed), index))
}
