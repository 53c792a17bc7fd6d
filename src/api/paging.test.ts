import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import { pageOf } from './paging.ts'

const ids = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), { maxLength: 40 })

const asItem = (id: string): { readonly id: string } => ({ id })

/** All pages, one after the other; `between` may change the list while they are asked for. */
function walk(list: string[], limit: number, between: (list: string[]) => string[]): string[] {
  const seen: string[] = []
  let after: string | null = null
  do {
    const found: ReturnType<typeof pageOf> = pageOf(list.map(asItem), limit, after)
    expect(found.items.length).toBeLessThanOrEqual(limit)
    seen.push(...found.items.map(({ id = '' }) => id))
    after = found.next
    list = between(list)
  } while (after !== null)
  return seen
}

test('the pages together are the list', () => {
  fc.assert(
    fc.property(ids, fc.integer({ min: 1, max: 45 }), (list, limit) => {
      const seen = walk(list, limit, (same) => same)
      expect(seen.toSorted()).toEqual(list.toSorted())
    }),
  )
})

test('items that go and come in between neither hide another nor let one come twice', () => {
  fc.assert(
    fc.property(ids, ids, fc.integer({ min: 1, max: 5 }), fc.infiniteStream(fc.nat(39)), (stay, come, limit, draws) => {
      const goers = come.filter((id) => !stay.includes(id))
      const seen = walk([...stay, ...goers], limit, (list) => {
        const { value } = draws.next()
        const one = goers[value % Math.max(1, goers.length)]
        if (one === undefined) return list
        return list.includes(one) ? list.filter((id) => id !== one) : [...list, one]
      })
      expect(new Set(seen).size).toBe(seen.length)
      for (const id of stay) expect(seen).toContain(id)
    }),
  )
})

test('a cursor that no page has given is refused', () => {
  for (const cursor of ['!', 'a', 'YQ==']) expect(() => pageOf([{ id: 'a' }], 1, cursor), cursor).toThrow(KeywardError)
})
