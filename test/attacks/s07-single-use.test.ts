import { expect } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { madeUp } from '../e2e/gateway/harness.ts'
import { attack, inside, open } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

attack('S7', 'two new values at once: one after the other, none lost, one current', inside, async () => {
  const { held } = await places.place()
  const values = Array.from({ length: 5 }, () => madeUp())
  const set = (value: string) =>
    places.stage.app.credentials.set(held.credentialId, { key: Secret.fromText('key', value) }, 'test')
  await Promise.all(values.map(set))
  const versions = [...places.stage.app.records.all('version').values()].filter(
    (one) => one.credentialId === held.credentialId,
  )
  expect(versions.map(({ number }) => number).toSorted()).toEqual([1, 2, 3, 4, 5, 6])
  expect(versions.filter(({ state }) => state === 'current').map(({ number }) => number)).toEqual([6])
  const current = places.stage.app.credentials.current(held.credentialId).fields['key']
  expect(current instanceof Secret && values.includes(current.revealText())).toBe(true)
})

open('S7', 'refreshing a token that can be used once, in one flight')
