import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Secret } from '../../core/secret.ts'
import { seededRandom } from '../fixture.ts'
import { newRecoveryKey, recoveryRootKey } from './recovery.ts'

const place = { storeId: 'store', slotId: 'slot' }
const read = async (text: string) => {
  const { key } = await recoveryRootKey(Secret.fromText('typed', text)).create(place)
  return key.export().toString('hex')
}

test('a recovery key is read however it is typed, and is the one that was shown', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ minLength: 1 }), async (label) => {
      const { text, rootKey } = newRecoveryKey(seededRandom(label))
      const shown = text.revealText()
      expect(shown).toMatch(/^kwr(?:-[0-9A-HJKMNP-TV-Z]{4}){9}$/)
      const key = (await rootKey.create(place)).key.export().toString('hex')
      const typed = [
        shown,
        shown.toLowerCase(),
        shown.replaceAll('-', ''),
        shown.slice(4),
        ` ${shown.replaceAll('-', ' ')}\n`,
      ]
      typed.push(shown.replaceAll('0', 'o').replaceAll('1', 'l'))
      for (const one of typed) expect(await read(one)).toBe(key)
    }),
    { numRuns: 50 },
  )
})

test('one wrong character, two exchanged groups, or a lost one, are found before anything is tried', async () => {
  const shown = newRecoveryKey(seededRandom('typing')).text.revealText()
  for (let at = 4; at < shown.length; at += 1) {
    if (shown[at] === '-') continue
    const other = shown[at] === 'A' ? 'B' : 'A'
    await expect(read(shown.slice(0, at) + other + shown.slice(at + 1))).rejects.toMatchObject({
      code: 'recovery_key_malformed',
    })
  }
  const groups = shown.split('-')
  const exchanged = [groups[0], groups[2], groups[1], ...groups.slice(3)].join('-')
  for (const wrong of [
    exchanged,
    groups.slice(0, -1).join('-'),
    '',
    'kwr',
    `${shown}-0000`,
    'U'.repeat(36),
    '0'.repeat(500),
  ])
    await expect(read(wrong)).rejects.toMatchObject({ code: 'recovery_key_malformed' })
})
