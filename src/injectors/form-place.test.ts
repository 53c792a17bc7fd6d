import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findParameter } from './form-place.ts'

const at = (text: string, name: string): string => {
  const found = findParameter(text, name)
  return typeof found === 'string' ? found : text.slice(found.start, found.end)
}

test.each([
  ['token=x', 'x'],
  ['a=1&token=x&b=2', 'x'],
  ['tok%65n=%78', '%78'],
  ['a;b=1&token=x', 'x'],
  ['token=', ''],
  ['token=a=b', 'a=b'],
])('%s has its place', (text, value) => expect(at(text, 'token')).toBe(value))

test.each([
  ['', 'absent'],
  ['a=token', 'absent'],
  ['tokens=x', 'absent'],
  ['token=x&token=y', 'twice'],
  ['token=x&TOKEN=y', 'twice'],
  ['token=x&tok%65n=y', 'twice'],
  ['token=x&+token=y', 'twice'],
  ['token=x&%20token=y', 'twice'],
  ['token=x&token[]=y', 'twice'],
  ['token=x&token%5Ba%5D=y', 'twice'],
  ['token=x&token%00a=y', 'twice'],
  ['token=x&token', 'twice'],
  ['token', 'twice'],
  ['Token=x', 'twice'],
  ['token[]=x', 'twice'],
  ['a=1;token=x', 'twice'],
  ['token=x;b=2', 'twice'],
  ['a=1;token=y&token=x', 'twice'],
  ['token=%', 'unreadable'],
  ['token=%ff', 'unreadable'],
  ['%zz=1&token=x', 'unreadable'],
])('%j says %s', (text, why) => expect(findParameter(text, 'token')).toBe(why))

test.each(['api.key', 'api key', 'api+key', 'api[key', 'API_KEY', '%61pi_key'])(
  'what PHP would take for the same name counts as another one: %s',
  (name) => expect(findParameter(`api_key=x&${name}=y`, 'api_key')).toBe('twice'),
)

test('in a form as a program writes it, the value is found and nothing else', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }))),
      fc.string(),
      (others, value) => {
        const form = new URLSearchParams(others.map(([name, text]): [string, string] => [`x-${name}`, text]))
        form.append('token', value)
        expect(new URLSearchParams(`a=${at(form.toString(), 'token')}`).get('a')).toBe(value)
      },
    ),
  )
})
