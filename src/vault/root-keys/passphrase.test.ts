import { describe, expect, test } from 'vitest'
import { Secret } from '../../core/secret.ts'
import { seededRandom } from '../fixture.ts'
import { newArgon2, passphraseRootKey } from './passphrase.ts'

const random = seededRandom('passphrase')
const place = { storeId: 'store', slotId: 'slot' }

describe('a passphrase', () => {
  const passphrase = passphraseRootKey(Secret.fromText('passphrase', 'four words of nobody'), random)

  test('gives one key for one salt', async () => {
    const argon2 = { ...newArgon2(random), memoryKiB: 8192, passes: 1, parallelism: 1 }
    const open = (parameters: typeof argon2) => passphrase.open({ kind: 'passphrase', argon2: parameters }, place)
    const [one, two] = [await open(argon2), await open(argon2)]
    const other = await open({ ...argon2, salt: newArgon2(random).salt })
    if (one === null || two === null || other === null) throw new Error('the parameters are within bounds')
    expect([one.equals(two), one.equals(other)]).toEqual([true, false])
  })

  test('is not spent on parameters out of bounds, nor on a slot of another kind', async () => {
    const argon2 = newArgon2(random)
    const wrong = [{ memoryKiB: 2 ** 30 }, { memoryKiB: 8 }, { passes: 1000 }, { parallelism: 64 }, { salt: 'AAAA' }]
    for (const change of wrong)
      expect(await passphrase.open({ kind: 'passphrase', argon2: { ...argon2, ...change } }, place)).toBeNull()
    expect(await passphrase.open({ kind: 'file' }, place)).toBeNull()
    expect(await passphrase.open({ kind: 'passphrase' }, place)).toBeNull()
  })

  test('that is empty is refused', () => {
    expect(() => passphraseRootKey(Secret.fromText('passphrase', ''), random)).toThrow(
      expect.objectContaining({ code: 'root_key_wrong' }),
    )
  })
})
