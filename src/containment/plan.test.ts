import { existsSync, linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { coverSteps } from './cover.ts'
import { defaultHidden, defaultReadOnly, listeningSockets, programFolders } from './hidden.ts'
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
  freshKeyring: ['/usr/bin/perl', '-e', 'join', '--'],
  vsock: false,
  otherTerminals: [],
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
  coverSteps({ sockets: [], hide: { ...nothing, ...hide }, own: [], memory: [], keep, readOnly, mounts: [] })

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
  expect(plan.openHere.join('\n')).toContain('hard link')
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

const planned = (change: Partial<ContainmentRequest>) => {
  const plan = planContainment({ ...request, ...change })
  plan.cleanup()
  return plan
}
const withFacts = (change: Partial<PlatformFacts>) => planned({ facts: { ...facts, ...change } })

test('files says that the network is open, full does not', () => {
  expect(planned({}).open.join()).toContain('The network is open')
  const full = planned({ mode: 'full', gateway: { port: 7071 } })
  expect([full.open, full.openHere]).toEqual([[], []])
})

test.each<[string, Partial<PlatformFacts>, RegExp]>([
  ['no fresh /proc', { freshProc: false }, /names and arguments of other processes can be read/],
  ['no tool for a fresh keyring', { freshKeyring: null }, /session keyring is inherited.*perl/],
])('what stays open for want of %s is said', (_, change, sentence) => {
  expect(withFacts({}).openHere).toEqual([])
  expect(withFacts(change).openHere.join()).toMatch(sentence)
})

test('vsock is said to be open where it stands out: under full', () => {
  const full = { mode: 'full', gateway: { port: 7071 }, facts: { ...facts, vsock: true } } as const
  expect(planned(full).openHere.join()).toContain('vsock')
  expect(withFacts({ vsock: true }).openHere).toEqual([])
})

test('root is told to be weaker', () => {
  expect(planned({ uid: 0, gid: 0 }).openHere.join()).toContain('runs as root')
})

test('macOS says that its profile is untested, and what it leaves open', () => {
  const { open, mode } = withFacts({ platform: 'darwin' })
  expect(mode).toBe('files')
  for (const sentence of ['untested', 'network is open', 'Mach services']) expect(open.join()).toContain(sentence)
})

test('the agent starts with a keyring of its own, where the kernel keeps any', () => {
  const { args } = withFacts({})
  expect(args.slice(args.indexOf('/usr/bin/perl') - 1, args.indexOf('/bin/sh'))).toEqual([
    '--',
    '/usr/bin/perl',
    '-e',
    'join',
    '--',
  ])
  expect(withFacts({ freshKeyring: [] }).openHere).toEqual([])
})

test.skipIf(process.platform !== 'linux')('other terminals are covered, and so is shared memory', () => {
  const terminal = join(base, 'home/.netrc')
  const { args } = withFacts({ otherTerminals: [terminal] })
  expect(args[args.indexOf(terminal) - 1]).toBe('socket')
  expect(args[args.indexOf('/dev/shm') - 1]).toBe('memory')
  expect(args.filter((text, index) => text === '/sys/fs/cgroup' && args[index - 1]?.startsWith('ro'))).toHaveLength(
    existsSync('/sys/fs/cgroup') ? 1 : 0,
  )
})

test.skipIf(process.platform !== 'linux')('shared memory that the agent works in stays, and is said to', () => {
  const { args, openHere } = planned({ cwd: '/dev/shm' })
  expect(args.some((text, index) => text === '/dev/shm' && args[index - 1] === 'memory')).toBe(false)
  expect(openHere.join()).toContain('/dev/shm is shared')
})

test('program folders are those that can be written and are not the agent’s own', () => {
  const path = [
    join(base, 'home'),
    join(base, 'work/bin'),
    join(base, 'work'),
    join(base, 'none'),
    'relative',
    '',
  ].join(':')
  expect(programFolders({ PATH: path }, join(base, 'work'))).toEqual([join(base, 'home')])
  expect(programFolders({}, join(base, 'work'))).toEqual([])
})

test('sockets that variables name are hidden, however they are spelled', () => {
  const home = join(base, 'home')
  const { files } = defaultHidden(home, {
    KITTY_LISTEN_ON: `unix:${home}/key`,
    VSCODE_IPC_HOOK_CLI: join(home, 'second-name'),
    TMUX: `${home}/.bashrc,123,0`,
    SWAYSOCK: '@abstract',
    NVIM: '127.0.0.1:6666',
  })
  for (const name of ['key', 'second-name', '.bashrc']) expect(files).toContain(join(home, name))
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
