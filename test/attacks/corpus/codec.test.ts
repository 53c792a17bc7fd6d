import { describe, expect, test } from 'vitest'
import { differenceBetween } from './compare.ts'
import { isKnown } from './known-differences.ts'
import { escaped } from './draft.ts'
import { ALONE_COUNT, hostileRequests } from './grammar.ts'
import { readWithOwn } from './own.ts'
import { randomFrom } from './random.ts'
import { readWithNode } from './reference.ts'

/** Keyward's own codec beside llhttp, on every hostile request: it may refuse more, never accept more, never read differently. */

const SEED = 1
const COUNT = 3_000

describe('own codec and llhttp', () => {
  test(`agree on ${COUNT} hostile requests`, async () => {
    const differing: string[] = []
    let whole = 0
    for (const { index, name, bytes } of hostileRequests(SEED, COUNT)) {
      const [own, reference] = [await readWithOwn(bytes), await readWithNode(bytes)]
      whole += own.requests.filter((request) => request.whole).length
      const difference = differenceBetween(own, reference)
      if (difference === null) continue
      if (index < ALONE_COUNT) differing.push(name)
      else if (!isKnown(name))
        expect.fail(`${name} (${SEED}:${index}): ${difference}\n${escaped(bytes).slice(0, 2_000)}`)
    }
    expect(differing).toEqual([])
    // It does not agree by refusing everything.
    expect(whole).toBeGreaterThan(COUNT / 5)
  })

  test('how the bytes are cut makes no difference', async () => {
    const random = randomFrom(SEED)
    for (const { index, name, bytes } of hostileRequests(SEED, 1_500)) {
      if (bytes.length > 3_000) continue
      const once = await readWithOwn(bytes)
      const pieces: Buffer[] = []
      for (let at = 0; at < bytes.length;) {
        const end = at + 1 + random.below(random.chance(0.5) ? 3 : 40)
        pieces.push(bytes.subarray(at, end))
        at = end
      }
      const cut = await readWithOwn(pieces)
      // What is malformed is seen as soon as it can be; what was read before is the same.
      expect({ requests: cut.requests, failed: cut.error !== null }, `${name} (${SEED}:${index})`).toEqual({
        requests: once.requests,
        failed: once.error !== null,
      })
    }
  })
})
