import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Secret } from '../core/secret.ts'
import { seededRandom } from './fixture.ts'
import {
  createRootKeyFile,
  newArgon2,
  parseRootKey,
  passphraseRootKey,
  readRootKeyFile,
  rootKeyText,
  slotKey,
} from './root-key.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-root-key-'))
afterAll(() => rmSync(folder, { recursive: true }))
const random = seededRandom('root key')
let made = 0
const newPath = () => join(folder, `${(made += 1)}`)

describe('the root key file', () => {
  test('is made for its owner alone, never over another, and reads back', async () => {
    const path = newPath()
    const before = process.umask(0)
    const key = await createRootKeyFile(path, random).finally(() => process.umask(before))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const read = await readRootKeyFile(path)
    if (key.kind !== 'file' || read.kind !== 'file') throw new Error('a file gives a file key')
    expect(read.key.equals(key.key)).toBe(true)
    const text = readFileSync(path, 'utf8')
    await expect(createRootKeyFile(path, random)).rejects.toMatchObject({ code: 'already_exists' })
    expect(readFileSync(path, 'utf8')).toBe(text)
  })

  test('that group or others may touch is refused, with its path and not its content', async () => {
    for (const mode of [0o640, 0o604, 0o644, 0o660, 0o610, 0o601, 0o622]) {
      const path = newPath()
      await createRootKeyFile(path, random)
      chmodSync(path, mode)
      await expect(readRootKeyFile(path)).rejects.toMatchObject({ code: 'root_key_unsafe', detail: path })
    }
  })

  test('that is missing, or is something else, is refused', async () => {
    await expect(readRootKeyFile(newPath())).rejects.toMatchObject({ code: 'root_key_missing' })
    const path = newPath()
    mkdirSync(path)
    await expect(readRootKeyFile(path)).rejects.toMatchObject({ code: 'root_key_wrong' })
  })

  test('with any one character changed, added or lost is refused', async () => {
    const text = rootKeyText(random(32))
    for (let at = 0; at < text.length - 1; at += 1) {
      const other = text[at] === 'A' ? 'B' : 'A'
      expect(parseRootKey(text.slice(0, at) + other + text.slice(at + 1)), `changed at ${at}`).toBeNull()
      expect(parseRootKey(text.slice(0, at) + text.slice(at + 1)), `lost at ${at}`).toBeNull()
      expect(parseRootKey(`${text.slice(0, at)}${other}${text.slice(at)}`), `added at ${at}`).toBeNull()
    }
    expect(parseRootKey(text)).not.toBeNull()
    expect(parseRootKey(text.trimEnd())).not.toBeNull()
    expect(parseRootKey(text + text)).toBeNull()
    const path = newPath()
    writeFileSync(path, 'something else', { mode: 0o600 })
    await expect(readRootKeyFile(path)).rejects.toMatchObject({ code: 'root_key_wrong' })
  })
})

describe('a passphrase', () => {
  const passphrase = passphraseRootKey(Secret.fromText('passphrase', 'four words of nobody'))

  test('gives one key for one salt', async () => {
    const argon2 = { ...newArgon2(random), memoryKiB: 8192, passes: 1, parallelism: 1 }
    const [one, two] = [
      await slotKey(passphrase, { kind: 'passphrase', argon2 }),
      await slotKey(passphrase, { kind: 'passphrase', argon2 }),
    ]
    const other = await slotKey(passphrase, { kind: 'passphrase', argon2: { ...argon2, salt: newArgon2(random).salt } })
    if (one === null || two === null || other === null) throw new Error('the parameters are within bounds')
    expect([one.equals(two), one.equals(other)]).toEqual([true, false])
  })

  test('is not spent on parameters out of bounds, nor on a slot of another kind', async () => {
    const argon2 = newArgon2(random)
    const wrong = [{ memoryKiB: 2 ** 30 }, { memoryKiB: 8 }, { passes: 1000 }, { parallelism: 64 }, { salt: 'AAAA' }]
    for (const change of wrong)
      expect(await slotKey(passphrase, { kind: 'passphrase', argon2: { ...argon2, ...change } })).toBeNull()
    expect(await slotKey(passphrase, { kind: 'file' })).toBeNull()
  })

  test('that is empty is refused', () => {
    expect(() => passphraseRootKey(Secret.fromText('passphrase', ''))).toThrow(
      expect.objectContaining({ code: 'root_key_wrong' }),
    )
  })
})
