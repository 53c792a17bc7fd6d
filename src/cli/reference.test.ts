import { expect, test } from 'vitest'
import { referenceIn, referenceTo, resolveReferences } from './reference.ts'

test('a reference names a credential and perhaps a field', () => {
  expect(referenceIn('keyward:openai')).toEqual({ credential: 'openai', field: null })
  expect(referenceIn('keyward:aws/secretKey')).toEqual({ credential: 'aws', field: 'secretKey' })
  for (const other of ['keyward:', 'keyward:A', 'xkeyward:a', 'keyward:a/b/c', 'keyward:a b'])
    expect(referenceIn(other)).toBeNull()
  expect(referenceIn(referenceTo('a.b', 'key'))).toEqual({ credential: 'a.b', field: 'key' })
})

test('what cannot be resolved is named and left out', () => {
  const result = resolveReferences(
    [
      ['A', 'keyward:one'],
      ['B', 'keyward:two'],
      ['C', 'plain'],
    ],
    ({ credential }) => (credential === 'one' ? 'text' : undefined),
  )
  expect(result).toEqual({ resolved: { A: 'text' }, missing: ['B'] })
})
