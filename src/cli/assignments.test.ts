import { assert, constantFrom, property, string } from 'fast-check'
import { parseEnv } from 'node:util'
import { expect, test } from 'vitest'
import { readAssignment, writeAssignment } from './assignments.ts'

test('reads what .env files and start-up files hold', () => {
  const value = (line: string): string | undefined => readAssignment(line)?.value
  expect(value('A=plain')).toBe('plain')
  expect(value('export A=plain # why')).toBe('plain')
  expect(value('  export  A="with space"')).toBe('with space')
  expect(value("A='single' # x")).toBe('single')
  expect(value('A=""')).toBe('')
})

test('leaves alone what a shell would compute or carry on', () => {
  for (const line of [
    '# A=b',
    'A=$B',
    'A="$B"',
    'A=`x`',
    'A=$(x)',
    'A=(a b)',
    'A="open',
    "A='open",
    'A b',
    'if x; then',
    'A=b c',
    'A="a"b',
  ]) {
    expect(readAssignment(line), line).toBeNull()
  }
})

test('a written value is read back by this reader and by Node', () => {
  const line = constantFrom('A=x', 'export A="x" # note', "  A='x'")
  assert(
    property(line, string({ unit: 'grapheme-ascii', minLength: 1 }), (before, value) => {
      const at = readAssignment(before)
      if (at === null) throw new Error('unreadable')
      const after = writeAssignment(before, at, value)
      if (after === null) return
      const read = readAssignment(after)
      if (read !== null) expect(read.value).toBe(value)
      expect(parseEnv(after)['A']).toBe(value)
    }),
  )
})

test('a value that cannot stand on one line is refused', () => {
  const at = readAssignment('A=x')
  if (at === null) throw new Error('unreadable')
  expect(writeAssignment('A=x', at, 'two\nlines')).toBeNull()
  expect(writeAssignment('A=x', at, "it's")).toBeNull()
})
