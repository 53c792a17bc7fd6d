import { createHmac, createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import vector from '../../test/vectors/token/narrowed.json' with { type: 'json' }
import { CAVEAT_TEXTS_MAXIMUM, CAVEATS_MAXIMUM, encodeCaveat, NARROWINGS_MAXIMUM, type Caveat } from './caveats.ts'
import { KeywardError } from './errors.ts'
import {
  locatorInId,
  locatorOf,
  looksLikeNarrowedToken,
  NARROWED_TOKEN_MAXIMUM_CHARACTERS,
  narrow,
  readNarrowedToken,
  verifyNarrowed,
} from './narrowed-token.ts'
import { base62, makeSessionToken } from './placeholder.ts'

type Taken = Exclude<Caveat, { kind: 'narrowing' }>

const tokenOf = (label: string): string =>
  makeSessionToken((length) => {
    const digest = createHash('sha512').update(label).digest()
    return Array.from({ length }, (_, at) => base62[(digest[at] ?? 0) % 62]).join('')
  })
const root = tokenOf('one')
const nonce = (label: string): Uint8Array => createHash('sha256').update(label).digest().subarray(0, 12)
const some: readonly Taken[] = [
  { kind: 'allow', patterns: ['GET /repos/**', 'issues.*'] },
  { kind: 'uses', count: 3 },
]

function codeOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    return error instanceof KeywardError ? error.code : 'not a KeywardError'
  }
  return 'none'
}

/** The format written a second time, from docs/formats/token.md alone: with no line of the code that it tests. */
function secondImplementation(
  session: string,
  narrowings: readonly (readonly string[])[],
): { token: string; id: string } {
  const mac = (key: string | Buffer, data: string | Buffer): Buffer => createHmac('sha256', key).update(data).digest()
  const locator = mac(session, 'keyward/locator/1').subarray(0, 8)
  let signature = mac(session, 'keyward/narrow/1')
  const written: Buffer[] = []
  for (const caveat of narrowings.flat()) {
    const bytes = Buffer.from(caveat, 'hex')
    signature = mac(signature, Buffer.concat([Buffer.from('01', 'hex'), bytes]))
    written.push(bytes)
  }
  const body = Buffer.concat([Buffer.from('01', 'hex'), locator, ...written, signature])
  const start = `kwn_${body.toString('base64url')}`
  let rest = crc32(start)
  let check = ''
  for (let n = 0; n < 6; n += 1) {
    check = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'.charAt(rest % 62) + check
    rest = Math.floor(rest / 62)
  }
  const name = Buffer.concat([locator, mac(signature, Buffer.from('026964', 'hex')).subarray(0, 12)])
  const bits = [...name].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const id = (bits.match(/.{5}/g) ?? [])
    .map((five) => '0123456789abcdefghjkmnpqrstvwxyz'[Number.parseInt(five, 2)])
    .join('')
  return { token: start + check, id }
}

/** One caveat as hexadecimal digits, written by hand. */
function written(type: string, value: string): string {
  return `${type}${(value.length / 2).toString(16).padStart(4, '0')}${value}`
}
const listed = (texts: readonly string[]): string =>
  texts.map((text) => text.length.toString(16).padStart(4, '0') + Buffer.from(text, 'latin1').toString('hex')).join('')

const chain = [
  [
    written('01', Buffer.from(nonce('first')).toString('hex')),
    written('02', listed(['GET /repos/**', 'issues.*'])),
    written('06', '00000003'),
  ],
  [
    written('01', Buffer.from(nonce('second')).toString('hex')),
    written('03', listed(['* /repos/{owner}/secrets'])),
    written('04', listed(['github', 'openai'])),
    written('05', '0000019b0000ffff'),
    written('07', Buffer.from('203.0.113.7').toString('hex')),
  ],
]

test('a second implementation, written from the document alone, makes the same tokens; the vector is theirs', () => {
  const first = narrow(root, some, nonce('first'))
  expect(first).toEqual(secondImplementation(root, chain.slice(0, 1)))
  const second = narrow(
    first.token,
    [
      { kind: 'deny', patterns: ['* /repos/{owner}/secrets'] },
      { kind: 'credentials', names: ['github', 'openai'] },
      { kind: 'expires', at: 0x19b_0000_ffff },
      { kind: 'address', address: '203.0.113.7' },
    ],
    nonce('second'),
  )
  expect(second).toEqual(secondImplementation(root, chain))
  expect(vector).toEqual({
    purpose: 'A session token, and what two narrowings of it look like. See docs/formats/token.md.',
    sessionLabel: 'one',
    locator: locatorOf(root),
    narrowings: [
      { caveats: chain[0], ...first },
      { caveats: chain[1], ...second },
    ],
  })
})

test('what was narrowed verifies with the session that it comes from, and with no other', () => {
  const { token, id } = narrow(root, some, nonce('a'))
  const read = readNarrowedToken(token)
  const ids = verifyNarrowed(read, root)
  expect(read.caveats.slice(1).map(({ caveat }) => caveat)).toEqual(some)
  expect(ids).toHaveLength(3)
  expect(ids?.at(-1)).toBe(id)
  expect(locatorInId(id)).toBe(locatorOf(root))
  expect(verifyNarrowed(read, tokenOf('two'))).toBeNull()
  const child = verifyNarrowed(readNarrowedToken(narrow(token, some, nonce('b')).token), root)
  expect(child?.slice(0, 3)).toEqual(ids)
  expect(narrow(root, some, nonce('c')).id).not.toBe(id)
  expect(token).not.toContain(root.slice(4, 12))
})

const taken = fc.oneof(
  fc.record({
    kind: fc.constantFrom('allow' as const, 'deny' as const),
    patterns: fc.array(fc.constantFrom('GET /a/**', 'issues.*', '*', 'RPC tools/call x'), {
      minLength: 1,
      maxLength: 3,
    }),
  }),
  fc.record({
    kind: fc.constant('credentials' as const),
    names: fc.array(fc.constantFrom('a', 'b.c'), { minLength: 1, maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('expires' as const), at: fc.integer({ min: 1, max: 2 ** 50 }) }),
  fc.record({ kind: fc.constant('uses' as const), count: fc.integer({ min: 1, max: 1_000_000 }) }),
  fc.record({ kind: fc.constant('address' as const), address: fc.constantFrom('127.0.0.1', '2001:db8::1') }),
)
const steps = fc.array(fc.array(taken, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 })

/** A token with these caveats and this signature, as anybody can put it together. */
function forged(from: string, caveats: readonly Uint8Array[], signature?: Uint8Array): string {
  const known = readNarrowedToken(from)
  const body = Buffer.concat([
    Buffer.from('01', 'hex'),
    Buffer.from(known.locator, 'hex'),
    ...caveats,
    signature ?? known.signature,
  ])
  const start = `kwn_${body.toString('base64url')}`
  let rest = crc32(start)
  let check = ''
  for (let n = 0; n < 6; n += 1, rest = Math.floor(rest / 62)) check = base62.charAt(rest % 62) + check
  return start + check
}

const opens = (text: string): boolean => {
  try {
    return verifyNarrowed(readNarrowedToken(text), root) !== null
  } catch {
    return false
  }
}

test('caveats that are edited, reordered, cut off or spliced from another token do not verify', () => {
  fc.assert(
    fc.property(steps, steps, fc.nat(), fc.nat(), (own, others, seed, at) => {
      const build = (list: typeof own, label: string): string =>
        list.reduce((text, caveats, place) => narrow(text, caveats, nonce(`${label} ${place} ${seed}`)).token, root)
      const text = build(own, 'own')
      const other = readNarrowedToken(build(others, 'other'))
      const { caveats, signature } = readNarrowedToken(text)
      const bytes = caveats.map(({ bytes: one }) => one)
      expect(opens(text)).toBe(true)
      expect(opens(forged(text, bytes))).toBe(true)
      const place = at % bytes.length
      // Cut off at the end, taken out of the middle, put in another order, changed, or taken from another.
      expect(opens(forged(text, bytes.slice(0, -1)))).toBe(false)
      expect(opens(forged(text, bytes.toSpliced(place, 1)))).toBe(false)
      const turned = bytes.toReversed()
      if (!Buffer.concat(turned).equals(Buffer.concat(bytes))) expect(opens(forged(text, turned))).toBe(false)
      const edited = bytes.map((one, index) => (index === place ? flipped(one, at) : one))
      expect(opens(forged(text, edited))).toBe(false)
      expect(opens(forged(text, [...bytes, encodeCaveat({ kind: 'uses', count: 1 })]))).toBe(false)
      expect(opens(forged(text, bytes, other.signature))).toBe(false)
      expect(
        opens(
          forged(
            text,
            other.caveats.map(({ bytes: one }) => one),
          ),
        ),
      ).toBe(false)
      expect(opens(forged(text, [], signature))).toBe(false)
    }),
    { numRuns: 60 },
  )
})

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  // Behind the type and the length: those are tried by leaving caveats out.
  const place = 3 + (at % (copy.length - 3))
  copy[place] = (copy[place] ?? 0) ^ 1
  return copy
}

describe('what is refused', () => {
  const { token } = narrow(root, some, nonce('a'))
  const start = readNarrowedToken(token).caveats.map(({ bytes }) => bytes)

  test('a caveat of an unknown kind, and one about a budget by its name', () => {
    const unknown = forged(token, [...start, Buffer.from('4d0000', 'hex')])
    expect(codeOf(() => readNarrowedToken(unknown))).toBe('caveat_unknown')
    const budget = forged(token, [...start, Buffer.from('08000101', 'hex')])
    expect(() => readNarrowedToken(budget)).toThrow(/budget/)
  })

  test('a chain that does not begin with a narrowing, malformed caveats, other spellings and other versions', () => {
    for (const text of [
      forged(token, start.slice(1)),
      forged(token, [...start, Buffer.from('0200', 'hex')]),
      forged(token, [...start, Buffer.from('020000', 'hex')]),
      forged(token, [...start, Buffer.from('06000100', 'hex')]),
      forged(token, [...start, Buffer.from('0600040000000000', 'hex').subarray(0, 7)]),
      forged(token, [...start, Buffer.from('050004ffffffff', 'hex')]),
      forged(token, [...start, Buffer.from('050008ffffffffffffffff', 'hex')]),
      forged(token, [...start, Buffer.from('0200050003ff2f2f', 'hex')]),
      token.slice(0, -1),
      `${token}0`,
      token.replace('kwn_', 'kws_'),
      root,
      '',
    ])
      expect(
        codeOf(() => readNarrowedToken(text)),
        text,
      ).toBe('token_invalid')
    expect(looksLikeNarrowedToken(token)).toBe(true)
    expect(looksLikeNarrowedToken(token.toUpperCase())).toBe(false)
  })

  test('more caveats, narrowings, texts or characters than there may be, and caveats that cannot be one', () => {
    const twice = (caveats: readonly Taken[]) => codeOf(() => narrow(root, caveats, nonce('x')))
    expect(twice([])).toBe('usage')
    expect(twice(Array.from({ length: CAVEATS_MAXIMUM }, () => ({ kind: 'uses', count: 1 })))).toBe('usage')
    expect(twice(Array.from({ length: CAVEATS_MAXIMUM - 1 }, () => ({ kind: 'uses', count: 1 })))).toBe('none')
    const patterns = Array.from({ length: CAVEAT_TEXTS_MAXIMUM + 1 }, (_, at) => `a.b${at}`)
    expect(twice([{ kind: 'allow', patterns }])).toBe('usage')
    expect(twice([{ kind: 'allow', patterns: patterns.slice(1) }])).toBe('none')
    expect(twice([{ kind: 'allow', patterns: ['a'.repeat(1_000), 'b'.repeat(1_000)] }])).toBe('usage')
    for (const caveat of [
      { kind: 'allow', patterns: [] },
      { kind: 'allow', patterns: ['GET no-slash'] },
      { kind: 'allow', patterns: ['GRAPHQL field secret'] },
      { kind: 'credentials', names: ['No'] },
      { kind: 'uses', count: 0 },
      { kind: 'uses', count: 1_000_001 },
      { kind: 'expires', at: 0 },
      { kind: 'expires', at: 1.5 },
      { kind: 'address', address: 'example.test' },
    ] as const)
      expect(twice([caveat]), JSON.stringify(caveat)).toBe('usage')
    let deep = root
    for (let depth = 0; depth < NARROWINGS_MAXIMUM; depth += 1)
      deep = narrow(deep, [{ kind: 'uses', count: 1 }], nonce(`${depth}`)).token
    expect(codeOf(() => narrow(deep, [{ kind: 'uses', count: 1 }], nonce('more')))).toBe('usage')
    expect(deep.length).toBeLessThan(NARROWED_TOKEN_MAXIMUM_CHARACTERS)
    expect(codeOf(() => narrow('kws_nothing', some, nonce('x')))).toBe('token_invalid')
  })
})
