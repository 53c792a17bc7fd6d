import fc from 'fast-check'
import { stringify } from 'yaml'
import { expect, test } from 'vitest'
import { readYamlDocuments, splitYamlDocuments } from './yaml-documents.ts'

test('a text in pieces is read as it is as a whole', () => {
  const value = fc.record({
    a: fc.string({ unit: 'grapheme' }),
    b: fc.array(fc.string({ maxLength: 8 })),
    c: fc.constantFrom('x\n---\ny', '---', '\u2028--- z'),
  })
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), fc.constantFrom('\n', '\r\n'), (values, end) => {
      const text = values
        .map((one) => `---\n${stringify(one)}`)
        .join('')
        .replaceAll('\n', end)
      const whole = readYamlDocuments(text)
      const pieces = splitYamlDocuments(text)
      expect(pieces.map((piece) => piece.text).join('')).toBe(text)
      const read = pieces.map((piece) => readYamlDocuments(piece.text, piece.line))
      expect(read.flatMap(({ documents }) => documents.map((one) => one.value))).toEqual(
        whole.documents.map((one) => one.value),
      )
      expect(read.flatMap(({ documents }) => documents.map((one) => one.placeOf(['c'])))).toEqual(
        whole.documents.map((one) => one.placeOf(['c'])),
      )
      expect(read.flatMap(({ problems }) => problems)).toEqual(whole.problems)
    }),
  )
})

test('all problems are told, with their places, and none of them repeats a value', () => {
  const { documents, problems } = readYamlDocuments('a: &x hunter2\nb: *x\nc: 1\nc: 2\n<<: {}\nd: !secret hunter2\n')
  expect(problems.map(({ line, message }) => `${line} ${message}`).toSorted()).toEqual([
    '1 anchors are not allowed',
    '2 aliases are not allowed',
    '4 a name stands twice',
    '5 merge keys are not allowed',
    expect.stringMatching(/^6 unresolved tag/),
  ])
  expect(JSON.stringify(problems)).not.toContain('hunter2')
  expect(documents.map(({ value }) => value)).toEqual([undefined])
})
