import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Encrypter, generateHybridIdentity, generateIdentity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import { collect, sourceOf } from './fixture.ts'
import { BACKUP_HEADER_MAXIMUM_BYTES, BACKUP_RECIPIENTS_MAXIMUM, sealer, unseal } from './sealed.ts'
import type { OpenWith } from './sealed.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-backup-sealed-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Longer than the pieces of age's stream. */
const content = randomBytes(200_000)
let identity = ''
let recipient = ''
let sealed = Buffer.from([])

const having = (...texts: string[]): OpenWith => ({
  kind: 'identities',
  identities: texts.map((text) => Secret.fromText('identity', text)),
})
const passphrase = (text: string) => ({ kind: 'passphrase', passphrase: Secret.fromText('passphrase', text) }) as const
const opened = (bytes: Buffer, keys: OpenWith): Promise<Buffer> => collect(unseal(sourceOf(bytes), keys))
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof KeywardError ? error.code : String(error)),
  )

beforeAll(async () => {
  identity = await generateIdentity()
  recipient = await identityToRecipient(identity)
  sealed = Buffer.from(await collect(await sealer({ kind: 'recipients', recipients: [recipient] })(sourceOf(content))))
})

test('what is sealed for recipients, each of them opens, post-quantum ones too', async () => {
  const hybrid = await generateHybridIdentity()
  const recipients = [recipient, await identityToRecipient(hybrid)]
  const bytes = await collect(await sealer({ kind: 'recipients', recipients })(sourceOf(content)))
  expect(bytes.includes(content.subarray(0, 100))).toBe(false)
  for (const one of [identity, hybrid]) expect((await opened(bytes, having(one))).equals(content)).toBe(true)
})

test('a passphrase opens what it sealed, and another does not', { timeout: 60_000 }, async () => {
  const words = randomBytes(12).toString('hex')
  const bytes = await collect(await sealer(passphrase(words))(sourceOf(content)))
  expect((await opened(bytes, passphrase(words))).equals(content)).toBe(true)
  expect(await codeOf(opened(bytes, passphrase(`${words}x`)))).toBe('backup_locked')
  expect(await codeOf(opened(bytes, having(identity)))).toBe('backup_locked')
})

test('another identity does not open it', async () => {
  expect(await codeOf(opened(sealed, having(await generateIdentity())))).toBe('backup_locked')
  expect((await opened(sealed, having(await generateIdentity(), identity))).equals(content)).toBe(true)
})

test('any changed byte, and any cut, is found', async () => {
  for (let at = 0; at < sealed.length; at += at < 400 ? 1 : 9_973) {
    const other = Buffer.from(sealed)
    other[at] = (other[at] ?? 0) ^ 1
    expect(await codeOf(opened(other, having(identity))), `byte ${at}`).toMatch(/^backup_(damaged|locked)$/)
  }
  for (let length = 0; length < sealed.length; length += 7_919)
    expect(await codeOf(opened(Buffer.from(sealed.subarray(0, length)), having(identity))), `cut at ${length}`).toBe(
      'backup_damaged',
    )
  expect(await codeOf(opened(Buffer.concat([sealed, Buffer.from('x')]), having(identity)))).toBe('backup_damaged')
})

describe('a head', () => {
  test('without an end is given up, and no more of it is read', async () => {
    let read = 0
    async function* endless(): AsyncGenerator<Buffer> {
      yield Buffer.from('age-encryption.org/v1\n')
      for (;;) {
        read += 65_536
        yield Buffer.alloc(65_536, 'x')
      }
    }
    expect(await codeOf(collect(unseal(endless(), having(identity))))).toBe('backup_damaged')
    expect(read).toBeLessThanOrEqual(BACKUP_HEADER_MAXIMUM_BYTES + 65_536)
  })

  test('that asks for more work than any of ours is not tried', async () => {
    const file =
      'age-encryption.org/v1\n-> scrypt bWFkZSBmb3IgYSB0ZXN0IQ 22\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n--- x\n'
    const before = performance.now()
    expect(await codeOf(opened(Buffer.from(file), passphrase('some passphrase')))).toBe('backup_damaged')
    // 2^22 would take half a minute and 4 GiB; not trying takes nothing.
    expect(performance.now() - before).toBeLessThan(2_000)
  })

  test.each(['', 'x', 'not age at all, but long enough to be looked at', '-----BEGIN AGE ENCRYPTED FILE-----\n'])(
    'that is none: %j',
    async (text) => {
      expect(await codeOf(opened(Buffer.from(text), having(identity)))).toBe('backup_damaged')
    },
  )
})

test('recipients and passphrases that are none are refused, and an identity is never repeated', async () => {
  const bad = (recipients: string[]): Promise<string> =>
    codeOf((async () => sealer({ kind: 'recipients', recipients }))())
  for (const one of [
    '',
    'age1',
    'age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq',
    'ssh-ed25519 AAAA',
    identity,
  ])
    expect(await bad([one])).toBe('usage')
  expect(await bad([])).toBe('usage')
  expect(await bad(Array.from({ length: BACKUP_RECIPIENTS_MAXIMUM + 1 }, () => recipient))).toBe('usage')
  expect(await codeOf((async () => sealer(passphrase('too short')))())).toBe('usage')
  const half = identity.slice(0, -3)
  const error: unknown = await opened(sealed, having(half)).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'usage' })
  expect(JSON.stringify([error, String(error), (error as KeywardError).cause])).not.toContain(half)
})

const hasAge = spawnSync('age', ['--version']).status === 0
if (!hasAge) test.skip('age is not installed here: its tests are skipped (apt-get install age)', () => undefined)

describe.skipIf(!hasAge)('the program age', () => {
  test('opens what was sealed here, and what it seals is opened here', async () => {
    const [keyFile, file] = [join(folder, 'identity'), join(folder, 'sealed')]
    writeFileSync(keyFile, `${identity}\n`, { mode: 0o600 })
    writeFileSync(file, sealed)
    const out = spawnSync('age', ['-d', '-i', keyFile, file], { maxBuffer: 16 * 1024 * 1024 })
    expect(out.stdout.equals(content), String(out.stderr)).toBe(true)
    const theirs = spawnSync('age', ['-r', recipient], { input: content, maxBuffer: 16 * 1024 * 1024 })
    expect((await opened(theirs.stdout, having(identity))).equals(content)).toBe(true)
  })
})

test('one that asks for no more work than ours is tried', { timeout: 60_000 }, async () => {
  const encrypter = new Encrypter()
  encrypter.setScryptWorkFactor(12)
  encrypter.setPassphrase('words of somebody')
  const bytes = Buffer.from(await encrypter.encrypt(content))
  expect((await opened(bytes, passphrase('words of somebody'))).equals(content)).toBe(true)
})
