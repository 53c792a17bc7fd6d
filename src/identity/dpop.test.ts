import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, SignJWT } from 'jose'
import { expect, test } from 'vitest'
import { createDpop, isThumbprint, PROOF_WINDOW_SECONDS } from './dpop.ts'
import { PROOF_MAXIMUM_CHARACTERS } from './login-bounds.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const start = 1_800_000_000_000
const target = 'http://127.0.0.1:7071/s/echo/v1/x'
const token = 'key-kwp-made-up'
const ath = createHash('sha256').update(token).digest('base64url')
const of = { method: 'POST', isTarget: (asked: string) => asked === target, token }

async function proof(
  claims: Readonly<Record<string, unknown>> = {},
  header: Readonly<Record<string, unknown>> = {},
  key: Parameters<SignJWT['sign']>[0] = privateKey,
): Promise<string> {
  const jwk = await exportJWK(publicKey)
  const body = { htm: 'POST', htu: target, iat: start / 1000, jti: randomBytes(9).toString('hex'), ath, ...claims }
  return new SignJWT(body).setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk, ...header }).sign(key)
}

test('a proof names the key that made it, once', async () => {
  const dpop = createDpop({ now: () => start })
  const text = await proof()
  const found = await dpop.verify(text, of, 's')
  expect(found).toEqual({ thumbprint: await calculateJwkThumbprint(await exportJWK(publicKey)) })
  expect(isThumbprint('thumbprint' in found ? found.thumbprint : '')).toBe(true)
  expect(await dpop.verify(text, of, 's')).toEqual({ refusal: 'proof_replayed' })
  expect(await dpop.verify(await proof({ htu: `${target}?a=b#c` }), of, 's')).toHaveProperty('thumbprint')
})

test('what RFC 9449 asks for, point by point', async () => {
  const dpop = createDpop({ now: () => start })
  const code = async (text: string | Promise<string>) => dpop.verify(await text, of, 's')
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const own = await exportJWK(privateKey)
  const late = start / 1000 - PROOF_WINDOW_SECONDS
  for (const [what, text] of [
    ['typ', proof({}, { typ: 'JWT' })],
    ['a private key', proof({}, { jwk: own })],
    ['another key', proof({}, { jwk: await exportJWK(other.publicKey) })],
    ['no key', proof({}, { jwk: undefined })],
    ['a shared secret', proof({}, { alg: 'HS256' }, randomBytes(32))],
    ['htm', proof({ htm: 'GET' })],
    ['htu', proof({ htu: 'http://127.0.0.1:7071/s/echo/v1/y' })],
    ['htu of another form', proof({ htu: [target] })],
    ['no htu', proof({ htu: undefined })],
    ['ath', proof({ ath: 'x' })],
    ['no ath', proof({ ath: undefined })],
    ['jti', proof({ jti: undefined })],
    ['long jti', proof({ jti: 'x'.repeat(257) })],
    ['iat', proof({ iat: undefined })],
    ['old', proof({ iat: late - 1 })],
    ['early', proof({ iat: start / 1000 + PROOF_WINDOW_SECONDS + 1 })],
    ['expired', proof({ exp: late - 1 })],
    ['nonsense', 'a.b.c'],
    ['long', 'x'.repeat(PROOF_MAXIMUM_CHARACTERS + 1)],
  ] as const)
    expect(await code(text), what).toMatchObject({ refusal: 'proof_invalid' })
  expect(await code(proof({ iat: late }))).toHaveProperty('thumbprint')
})

test('proofs are remembered as long as they could be shown again, and of one session so many', async () => {
  let now = start
  const dpop = createDpop({ now: () => now })
  const early = await proof({ iat: start / 1000 + PROOF_WINDOW_SECONDS })
  expect(await dpop.verify(early, of, 's')).toHaveProperty('thumbprint')
  now = start + 2 * PROOF_WINDOW_SECONDS * 1000
  expect(await dpop.verify(early, of, 's')).toEqual({ refusal: 'proof_replayed' })
  now += 1_000
  expect(await dpop.verify(early, of, 's')).toMatchObject({ refusal: 'proof_invalid' })
})

test('one session cannot fill the memory of all', async () => {
  const dpop = createDpop({ now: () => start, most: { ofSession: 3, ofAll: 5 } })
  const show = async (holder: string) => dpop.verify(await proof(), of, holder)
  for (let n = 0; n < 3; n += 1) expect(await show('s')).toHaveProperty('thumbprint')
  expect(await show('s')).toMatchObject({ refusal: 'overloaded' })
  expect(await show('other')).toHaveProperty('thumbprint')
  expect(await show('third')).toHaveProperty('thumbprint')
  expect(await show('fourth')).toMatchObject({ refusal: 'overloaded' })
})
