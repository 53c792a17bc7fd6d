import { expect, test } from 'vitest'
import { containmentAvailable, withoutTrying } from './probe.ts'

test.each(['files', 'full'] as const)('%s: the answer is remembered, and a no says what to do', (mode) => {
  const first = containmentAvailable(mode)
  expect(containmentAvailable(mode)).toBe(first)
  if (first.available) expect(first).toMatchObject({ missing: '', remedy: '' })
  else expect([first.missing, first.remedy]).toEqual([expect.stringMatching(/\.$/), expect.stringMatching(/\.$/)])
})

const tools = { unshare: '/usr/bin/unshare', setpriv: '/usr/bin/setpriv', mount: '/usr/bin/mount', sh: '/bin/sh' }

test.each([
  ['full', 'darwin', {}, 'macOS offers no network containment.', /--contain files/],
  ['files', 'win32', {}, 'win32 offers no containment.', /WSL 2/],
  ['files', 'linux', {}, 'Not installed: unshare, setpriv, mount, sh.', /util-linux/],
  ['files', 'linux', { ...tools, setpriv: undefined }, 'Not installed: setpriv.', /util-linux/],
  ['full', 'linux', tools, 'Not installed: ip.', /iproute2.*--contain files/],
] as const)('%s on %s with %j: %s', (mode, platform, found, missing, remedy) => {
  const said = withoutTrying(mode, platform, found)
  expect(said).toMatchObject({ available: false, missing, freshProc: false })
  expect(said?.remedy).toMatch(remedy)
})

test('with its tools there, Linux is tried', () => {
  expect(withoutTrying('files', 'linux', tools)).toBeNull()
  expect(withoutTrying('full', 'linux', { ...tools, ip: '/sbin/ip' })).toBeNull()
})
