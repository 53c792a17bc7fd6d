import { assert, property, string } from 'fast-check'
import { expect, test } from 'vitest'
import { controlSocketPath, MAX_SOCKET_PATH_BYTES } from './socket-path.ts'

test('a short home holds its own socket', () => {
  expect(controlSocketPath('/home/ada/.keyward', '/tmp', 1000)).toBe('/home/ada/.keyward/control.sock')
})

test('a long home gets a short path that is its own', () => {
  const segment = string({ minLength: 60, maxLength: 200 }).filter((text) => !text.includes('/'))
  assert(
    property(segment, segment, (one, two) => {
      const path = controlSocketPath(`/home/${'x'.repeat(40)}/${one}`, '/tmp', 1000)
      expect(Buffer.byteLength(path)).toBeLessThanOrEqual(MAX_SOCKET_PATH_BYTES)
      if (one !== two) expect(path).not.toBe(controlSocketPath(`/home/${'x'.repeat(40)}/${two}`, '/tmp', 1000))
    }),
  )
})

test('two users never share a folder', () => {
  const home = `/${'deep/'.repeat(40)}home`
  expect(controlSocketPath(home, '/tmp', 1)).not.toBe(controlSocketPath(home, '/tmp', 2))
})
