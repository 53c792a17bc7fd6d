import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { notApplicable } from './attacks/attack.ts'
import { rows } from './attacks/rows.ts'
import { pageText, plain, readName, standings, tableText, total, type Tried } from './attacks/table.ts'

/** The table of attacks counts what was tried and nothing else, and the guide shows every row of it. */

const root = join(import.meta.dirname, '..')
const folder = join(root, 'test/attacks')

function tried(id: string, at: string, outcome: Tried['outcome'] = 'passed', title = 'something'): Tried {
  return { id, at, title, outcome }
}

const stateOf = (...results: Tried[]): string | undefined =>
  standings(results).find(({ row }) => row.id === results[0]?.id)?.state

describe('a row', () => {
  test('is held when it was tried and every attack failed, and only then', () => {
    expect(stateOf(tried('R1', 'tunnel'), tried('R1', 'base-url'))).toBe('held')
    expect(stateOf(tried('R1', 'tunnel'), tried('R1', 'tunnel', 'failed'))).toBe('not held')
    expect(stateOf(tried('R1', 'tunnel'), tried('R1', 'base-url', 'skipped'))).toBe('skipped')
    expect(standings([]).every(({ state }) => state === 'no test')).toBe(true)
  })

  test('of which a part is open is open, and one that is broken is not held even so', () => {
    expect(stateOf(tried('R1', 'tunnel'), tried('R1', 'open', 'declared'))).toBe('open')
    expect(stateOf(tried('R1', 'tunnel'), tried('R1', 'tunnel h2', 'declared'))).toBe('open')
    expect(stateOf(tried('R1', 'tunnel', 'failed'), tried('R1', 'open', 'declared'))).toBe('not held')
  })

  test('that does not apply is not counted, unless a part of it was tried', () => {
    expect(stateOf(tried('S10', 'not applicable', 'declared'))).toBe('not applicable')
    expect(stateOf(tried('D11', 'not applicable', 'declared'), tried('D11', 'tunnel'))).toBe('held')
    const all = standings([tried('S10', 'not applicable', 'declared'), tried('R1', 'inside'), tried('R2', 'open')])
    expect(total(all)).toEqual({ held: 1, of: rows.length - 1 })
  })

  test('may not be said not to apply, but for those of which Keyward has nothing', () => {
    expect(() => notApplicable('R1', 'no time')).toThrow('R1 applies')
  })
})

test('a name that is none of the table is refused, rather than left out', () => {
  expect(readName('R1 · tunnel h2 · a · b')).toEqual({ id: 'R1', at: 'tunnel h2', title: 'a · b' })
  for (const name of ['R1 tunnel x', 'R1 · tunnel', 'R99 · tunnel · x', 'R1 · somewhere · x', ''])
    expect(() => readName(name), name).toThrow()
})

test('table and page depend on the results alone, not on their order, and name every row', () => {
  const results = [tried('R1', 'tunnel'), tried('R1', 'base-url', 'passed', 'else'), tried('V1', 'inside', 'failed')]
  const corpus = [
    { title: 'the corpus', outcome: 'passed' },
    { title: 'another', outcome: 'failed' },
  ] as const
  for (const write of [pageText, (...[all, some]: Parameters<typeof pageText>) => tableText(all, some, plain)]) {
    const text = write(standings(results), corpus)
    expect(write(standings(results.toReversed()), corpus.toReversed())).toBe(text)
    for (const { id, title } of rows) {
      expect(text).toMatch(new RegExp(`^(?:\\| )?${id}[ |]`, 'm'))
      expect(text).toContain(title)
    }
  }
})

test('docs/guide/attacks.md has every row, once', () => {
  const page = readFileSync(join(root, 'docs/guide/attacks.md'), 'utf8')
  const listed = [...page.matchAll(/^\| ([A-Z]\d+) \| (.*?) \|/gm)].map(([, id, title]) => ({ id, title }))
  expect(listed).toEqual(rows)
})

test('every test of the suite is declared by its row, and every id is one of the table', () => {
  const known = new Set(rows.map(({ id }) => id))
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.test.ts'))) {
    const text = readFileSync(join(folder, file), 'utf8')
    const ids = [...text.matchAll(/(?<![.\w])(?:attack|open|notApplicable)\(\s*'([^']+)'/g)].map(([, id]) => id ?? '')
    expect(ids.length, file).toBeGreaterThan(0)
    expect(
      ids.filter((id) => !known.has(id)),
      file,
    ).toEqual([])
    expect(/^\s*(?:test|it|describe)(?:\.\w+)*\(/m.test(text), `${file} has a test that belongs to no row`).toBe(false)
  }
})

test('README says what the page says', () => {
  const said = (file: string): string[] =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/(\d+) of (\d+)(?: are held|\.\*\*)/g)].map(
      ([, held, of]) => `${held} of ${of}`,
    )
  expect(said('README.md')).toEqual(said('docs/guide/attacks.md'))
})
