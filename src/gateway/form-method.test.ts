import { expect, test } from 'vitest'
import { MethodParameter, namesMethod, PARAMETER_NAME_MAXIMUM_BYTES } from './form-method.ts'

/** Whole, and byte by byte. */
function finds(text: string): boolean {
  const bytes = Buffer.from(text, 'latin1')
  const whole = new MethodParameter().push(bytes)
  const watch = new MethodParameter()
  expect([...bytes].some((byte) => watch.push(Uint8Array.of(byte)))).toBe(whole)
  return whole
}

test('P7: the name of the method in every writing that some reader takes for it', () => {
  for (const text of [
    '_method=PUT',
    'a=1&_method=',
    'a;_METHOD=PUT',
    '%5F%6d%65thod=PUT',
    '.method=x',
    '%5bmethod=x',
    '%20%20_method=x',
    `${'+'.repeat(500)}_method=x`,
  ])
    expect(finds(text), text).toBe(true)
})

test('other names and values are let through', () => {
  for (const text of [
    '',
    '_method',
    'a=_method=PUT',
    'the_method=x',
    '_methods=x',
    'method=x',
    '%255fmethod=x',
    'x'.repeat(PARAMETER_NAME_MAXIMUM_BYTES + 1),
    `${'x'.repeat(PARAMETER_NAME_MAXIMUM_BYTES)}_method=x`,
  ])
    expect(finds(text), text).toBe(false)
  expect(namesMethod('/_method=x')).toBe(false)
  expect(namesMethod('/a?_method=x')).toBe(true)
})
