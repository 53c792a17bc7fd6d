import { linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { coverSteps } from './cover.ts'
import { defaultHidden, defaultReadOnly, listeningSockets } from './hidden.ts'
import type { ContainmentRequest } from './plan.ts'
import { planContainment } from './plan.ts'
import type { PlatformFacts } from './platform.ts'
import { seatbeltProfile } from './seatbelt.ts'

const base = mkdtempSync(join(realpathSync(tmpdir()), 'keyward-plan-'))
const nothing = { directories: [], files: [] }
const facts: PlatformFacts = {
  platform: 'linux',
  tools: {
    unshare: '/usr/bin/unshare',
    setpriv: '/usr/bin/setpriv',
    mount: '/usr/bin/mount',
    sh: '/bin/sh',
    ip: '/sbin/ip',
  },
  mountInfo: '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
  unixSockets: '',
  freshProc: true,
  terminalInjection: false,
  rawDevices: [],
}
const request: ContainmentRequest = {
  mode: 'files',
  command: 'agent',
  args: ['--flag', '$(not shell)'],
  uid: 1000,
  gid: 1000,
  cwd: join(base, 'work'),
  environment: {},
  hide: nothing,
  facts,
}

beforeAll(() => {
  for (const name of ['work', 'home/.keyward', 'home/.aws', 'home/.ssh'])
    mkdirSync(join(base, name), { recursive: true })
  for (const name of ['home/.keyward/db', 'home/.netrc', 'home/.bashrc', 'home/key'])
    writeFileSync(join(base, name), 'x')
  writeFileSync(join(base, 'home/.ssh/work'), '-----BEGIN OPENSSH PRIVATE KEY-----\n')
  writeFileSync(join(base, 'home/.ssh/work.pub'), 'ssh-ed25519')
  symlinkSync(join(base, 'home/.keyward'), join(base, 'link'))
  linkSync(join(base, 'home/key'), join(base, 'home/second-name'))
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

const cover = (hide: { directories?: string[]; files?: string[] }, keep: string[] = [], readOnly: string[] = []) =>
  coverSteps({ sockets: [], hide: { ...nothing, ...hide }, own: [], keep, readOnly, mounts: [] })

test('hides real paths, once, and leaves out what does not exist or lies below', () => {
  const { covered } = cover({
    directories: [join(base, 'link'), join(base, 'home/.keyward'), join(base, 'none')],
    files: [join(base, 'home/.keyward/db')],
  })
  expect(covered).toEqual([join(base, 'home/.keyward')])
})

test('binds read-only before it covers, because a later bind would uncover', () => {
  const { steps } = cover({ files: [join(base, 'home/.ssh/work')] }, [], [join(base, 'home/.ssh')])
  expect(steps.map((step) => step.kind).filter((kind) => kind !== 'pin')).toEqual(['readOnly', 'file'])
})

test('keeps a path in a hidden directory, and hides again what is hidden in the kept one', () => {
  const { steps } = cover({ directories: [join(base, 'home')], files: [join(base, 'home/.ssh/work')] }, [
    join(base, 'home/.ssh'),
  ])
  const covering = steps.filter(({ kind }) => kind !== 'pin')
  expect(covering.map(({ kind, path }) => `${kind} ${path.replace(base, '')}`)).toEqual([
    'keepDirectory /home/.ssh',
    'own /home',
    'restart ',
    'return /home/.ssh',
    'file /home/.ssh/work',
  ])
})

test('pins the folders above what is fixed, outermost first and before all else, where the agent could rename them', () => {
  const { steps } = cover({ files: [join(base, 'home/.ssh/work')] })
  const pins = steps.flatMap((step) => (step.kind === 'pin' ? [step.path] : []))
  expect(pins.slice(-2)).toEqual([join(base, 'home'), join(base, 'home/.ssh')])
  expect(pins).not.toContain('/')
  expect(steps.findIndex(({ kind }) => kind !== 'pin')).toBe(pins.length)
})

test('a hidden file with a second name is told', () => {
  expect(cover({ files: [join(base, 'home/key')] }).linked).toEqual([join(base, 'home/key')])
  const plan = planContainment({ ...request, hide: { directories: [], files: [join(base, 'home/key')] } })
  plan.cleanup()
  expect(plan.open.join('\n')).toContain('hard link')
})

test('the command is passed as arguments, never as shell text', () => {
  const plan = planContainment(request)
  plan.cleanup()
  plan.cleanup()
  expect(plan.args.slice(-3)).toEqual(['agent', '--flag', '$(not shell)'])
  expect(plan.args.filter((text) => text.includes('$(not shell)'))).toHaveLength(1)
})

test.each([
  ['a platform without containment', { facts: { ...facts, platform: 'win32' as const } }],
  ['full without a gateway', { mode: 'full' as const }],
  ['full on macOS', { mode: 'full' as const, facts: { ...facts, platform: 'darwin' as const } }],
  ['missing tools', { facts: { ...facts, tools: {} } }],
  ['a working directory in a hidden place', { hide: { directories: [join(base, 'work')], files: [] } }],
])('refuses %s', (_, change) => {
  expect(() => planContainment({ ...request, ...change })).toThrow(
    expect.objectContaining({ code: 'containment_unavailable' }),
  )
})

test('none announces that nothing is contained', () => {
  const plan = planContainment({ ...request, mode: 'none' })
  expect(plan).toMatchObject({ command: 'agent', args: request.args, gateway: null })
  expect(plan.open[0]).toContain('Nothing is contained')
})

test('finds the well-known stores of a home, private keys and agent sockets, and only those that exist', () => {
  const home = join(base, 'home')
  const { directories, files } = defaultHidden(home, {
    SSH_AUTH_SOCK: join(home, 'key'),
    DBUS_SESSION_BUS_ADDRESS: `unix:path=${home}/second-name,guid=1`,
  })
  expect(directories).toContain(join(home, '.aws'))
  expect(files).toEqual(
    expect.arrayContaining(['.netrc', '.ssh/work', 'key', 'second-name'].map((name) => join(home, name))),
  )
  expect(files).not.toContain(join(home, '.ssh/work.pub'))
  expect(files).not.toContain(join(home, '.pypirc'))
  expect(defaultReadOnly(home)).toEqual([join(home, '.bashrc'), join(home, '.ssh')])
})

test('reads the sockets that somebody listens on', () => {
  const text = [
    'Num       RefCount Protocol Flags    Type St Inode Path',
    '0000000000000000: 00000002 00000000 00010000 0001 01 24984 /run/listening.sock',
    '0000000000000000: 00000003 00000000 00000000 0001 03 24985 /run/connected.sock',
    '0000000000000000: 00000002 00000000 00000000 0002 01 24987 /run/datagram.sock',
    '0000000000000000: 00000002 00000000 00010000 0001 01 24986 @abstract',
  ].join('\n')
  expect(listeningSockets(text)).toEqual(['/run/listening.sock', '/run/datagram.sock'])
})

test('the macOS profile quotes paths and lets later rules win', () => {
  const profile = seatbeltProfile({ hidden: ['/Users/a "b"\\c'], readOnly: [], keep: ['/Users/k'] })
  expect(profile).toContain(String.raw`(subpath "/Users/a \"b\"\\c")`)
  expect(profile.indexOf('allow file-read*')).toBeGreaterThan(profile.indexOf('deny file-read*'))
})
