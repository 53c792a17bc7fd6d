import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { canonicalAddress, createPeerCheck, sharedLook, type BoundTo, type Peer } from './peer.ts'
import { startTicksOf } from './process.ts'
import { remoteOf } from '../gateway/peer-gate.ts'
import { findClientSocket, readTcpTable, tellsHolders } from './socket-owners.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-peer-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface MadeUp {
  readonly id: number
  readonly parent: number
  readonly startTicks?: number
  readonly name?: string
  readonly user?: number
  readonly sockets?: readonly number[]
  readonly namespace?: string
  /** Its descriptors are not to be seen. */
  readonly closed?: boolean
  /** The kernel leaves it out of its parent's list. */
  readonly unlisted?: boolean
}

const peer: Peer = { address: '127.0.0.1', port: 0x9c40, localAddress: '127.0.0.1', localPort: 0x1b9f }
const row = (inode: number, user = 1000): string =>
  `   1: 0100007F:9C40 0100007F:1B9F 01 00000000:00000000 00:00000000 00000000  ${user}        0 ${inode} 1 0000000081c76daa 20 4 30 10 -1`

let count = 0
/** The kernel's process files as they would be for these processes. */
function proc(processes: readonly MadeUp[], rows: readonly string[]): string {
  count += 1
  const root = join(folder, String(count))
  mkdirSync(join(root, 'self/net'), { recursive: true })
  writeFileSync(join(root, 'self/net/tcp'), ['  sl  local_address rem_address   st', ...rows, ''].join('\n'))
  // Of two with one id the later counts.
  for (const one of new Map(processes.map((each) => [each.id, each])).values()) {
    const own = join(root, String(one.id))
    mkdirSync(join(own, 'ns'), { recursive: true })
    mkdirSync(join(own, `task/${one.id}`), { recursive: true })
    const fields = ['S', one.parent, ...Array.from({ length: 17 }, () => 0), one.startTicks ?? 100]
    writeFileSync(join(own, 'stat'), `${one.id} (${one.name ?? 'program'}) ${fields.join(' ')} 0\n`)
    const user = one.user ?? 1000
    writeFileSync(join(own, 'status'), `Name:\tx\nUid:\t${user}\t${user}\t${user}\t${user}\n`)
    symlinkSync(one.namespace ?? 'pid:[1]', join(own, 'ns/pid'))
    const children = processes.filter((other) => other.parent === one.id && other.unlisted !== true)
    writeFileSync(join(own, `task/${one.id}/children`), children.map((other) => `${other.id} `).join(''))
    if (one.closed === true) continue
    mkdirSync(join(own, 'fd'))
    for (const [place, inode] of (one.sockets ?? []).entries())
      symlinkSync(`socket:[${inode}]`, join(own, 'fd', String(place)))
  }
  return root
}

const bound: BoundTo = { kind: 'process', processId: 50, startTicks: '100' }
const run: MadeUp = { id: 50, parent: 20 }
const shell: MadeUp = { id: 20, parent: 1, startTicks: 10, name: 'bash' }
const init: MadeUp = { id: 1, parent: 0, startTicks: 1, name: 'init' }
const check = (root: string, binding: BoundTo = bound, at: Peer = peer, platform: NodeJS.Platform = 'linux') =>
  createPeerCheck({ platform, proc: root }).check(binding, at)

describe('the holder of the other end', () => {
  test.each<[string, MadeUp[]]>([
    ['the process itself', [{ ...run, sockets: [7] }]],
    ['a child', [run, { id: 51, parent: 50, sockets: [6, 7] }]],
    ['a child of a child', [run, { id: 51, parent: 50 }, { id: 52, parent: 51, sockets: [7] }]],
    ['a child that the kernel did not list', [run, { id: 51, parent: 50, sockets: [7], unlisted: true }]],
    [
      'a child, and somebody outside who also has it',
      [run, { id: 51, parent: 50, sockets: [7] }, { id: 30, parent: 20, sockets: [7] }],
    ],
  ])('%s is inside', async (_, processes) => {
    expect(await check(proc([init, shell, ...processes], [row(7)]))).toMatchObject({ verdict: 'inside' })
  })

  test.each<[string, string, MadeUp[], string[]]>([
    ['a sibling', 'process', [run, { id: 60, parent: 20, sockets: [7], name: 'curl' }], [row(7)]],
    ['the parent', 'process', [run, { ...shell, sockets: [7] }], [row(7)]],
    ['a process that nobody finds', 'process', [run], [row(7)]],
    ['another user', 'user', [run, { id: 60, parent: 20, sockets: [7], user: 1001 }], [row(7, 1001)]],
    ['another user whom nobody may look at', 'user', [run, { id: 60, parent: 1, closed: true, user: 0 }], [row(7, 0)]],
    ['nobody any more', 'closed', [{ ...run, sockets: [7] }], [row(0)]],
    ['nobody on record', 'closed', [{ ...run, sockets: [7] }], []],
    ['a later process with the same id', 'ended', [{ ...run, startTicks: 300, sockets: [7] }], [row(7)]],
    ['a child of a run that is gone', 'ended', [{ id: 51, parent: 50, sockets: [7] }], [row(7)]],
    [
      'a process of the first one that began before the run',
      'process',
      [run, { id: 60, parent: 1, startTicks: 50, sockets: [7] }],
      [row(7)],
    ],
    [
      'an orphan beside a contained run',
      'process',
      [run, { id: 51, parent: 50, namespace: 'pid:[2]' }, { id: 60, parent: 1, startTicks: 200, sockets: [7] }],
      [row(7)],
    ],
  ])('%s is outside', async (_, reason, processes, rows) => {
    const found = await check(proc([init, shell, ...processes], rows))
    expect(found).toMatchObject({ verdict: 'outside', reason })
  })

  test('who was refused is named', async () => {
    const found = await check(proc([init, shell, run, { id: 60, parent: 20, sockets: [7], name: 'a) b' }], [row(7)]))
    expect(found).toMatchObject({ holder: { processId: 60, program: 'a) b' }, userId: 1000 })
  })

  test.each<[string, string, MadeUp[]]>([
    ['an orphan of an uncontained run', 'orphan', [run, { id: 60, parent: 1, startTicks: 200, sockets: [7] }]],
    [
      'the child of an orphan',
      'orphan',
      [run, { id: 60, parent: 1, startTicks: 200 }, { id: 61, parent: 60, startTicks: 201, sockets: [7] }],
    ],
    [
      'an orphan that the user’s systemd took',
      'orphan',
      [run, { id: 2, parent: 1, startTicks: 5, name: 'systemd' }, { id: 60, parent: 2, startTicks: 200, sockets: [7] }],
    ],
    ['a program of the tree into which nobody may look', 'unreadable', [run, { id: 51, parent: 50, closed: true }]],
  ])('%s cannot be told', async (_, reason, processes) => {
    expect(await check(proc([init, shell, ...processes], [row(7)]))).toMatchObject({ verdict: 'unknown', reason })
  })

  test.each([
    ['processes', { processes: 3, descriptors: 100 }],
    ['descriptors', { processes: 100, descriptors: 2 }],
  ])('too many %s to look through are refused, not waved through', async (_, bounds) => {
    const crowd = Array.from({ length: 5 }, (__, place) => ({ id: 51 + place, parent: 50, sockets: [90 + place] }))
    const root = proc([init, shell, run, ...crowd, { id: 60, parent: 50, sockets: [7] }], [row(7)])
    const bounded = createPeerCheck({ platform: 'linux', proc: root, bounds })
    expect(await bounded.check(bound, peer)).toMatchObject({ verdict: 'outside', reason: 'crowded' })
    expect(await check(root)).toMatchObject({ verdict: 'inside' })
  })

  test('tables that cannot be read cannot tell', async () => {
    expect(await check(join(folder, 'nothing'))).toMatchObject({ verdict: 'unknown', reason: 'unreadable' })
  })

  test('a kernel that does not say who holds what refuses nobody', async () => {
    const root = proc([init, shell, run], [])
    const found = createPeerCheck({ platform: 'linux', proc: root, tells: () => tellsHolders(root) })
    expect(await found.check(bound, peer)).toMatchObject({ verdict: 'unknown', reason: 'platform' })
    const untried = createPeerCheck({
      platform: 'linux',
      proc: root,
      tells: () => Promise.reject(new Error('no room')),
    })
    expect(await untried.check(bound, peer)).toMatchObject({ verdict: 'outside' })
  })

  test('no other platform tells', async () => {
    expect(await check('/proc', bound, peer, 'darwin')).toMatchObject({ verdict: 'unknown', reason: 'platform' })
  })

  test.each(['192.0.2.7', '::ffff:192.0.2.7', '2001:db8::7', 'nonsense'])('%s is another machine', async (address) => {
    expect(await check('/proc', bound, { ...peer, address })).toMatchObject({ verdict: 'outside', reason: 'address' })
  })

  test('a Unix socket is no way for a bound session', async () => {
    const at = { address: '', port: 0, localAddress: '', localPort: 0 }
    expect(await check('/proc', bound, at)).toMatchObject({ verdict: 'outside', reason: 'socket' })
  })
})

describe('a session bound to an address', () => {
  test.each([
    ['127.0.0.1', '127.0.0.1', 'inside'],
    ['127.0.0.1', '::ffff:127.0.0.1', 'inside'],
    ['127.0.0.1', '127.0.0.2', 'outside'],
    ['2001:db8::1', '2001:db8:0:0::1', 'inside'],
    ['2001:db8::1', '2001:db8::2', 'outside'],
    ['192.0.2.1', '', 'outside'],
  ] as const)('%s called from %s is %s', async (address, from, verdict) => {
    const at = { ...peer, address: from }
    expect(await check('/proc', { kind: 'address', address }, at)).toMatchObject({ verdict })
  })

  test.each([
    ['2001:DB8:0::1', '2001:db8::1'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['fe80::1%eth0', null],
    ['127.1', null],
    ['example.test', null],
  ])('%s is written %s', (text, canonical) => expect(canonicalAddress(text)).toBe(canonical))
})

test('the row is that of the client and of this connection', async () => {
  const others = [row(1).replace(':1B9F', ':1B9E'), row(2).replace('0100007F:9C40', '0200007F:9C40')]
  // The column of numbers grows with the table.
  const table = await readTcpTable(proc([], [...others, row(3).replace('   1:', '12345:')]), 'tcp')
  expect(findClientSocket(table, peer)).toEqual({ inode: '3', userId: 1000 })
  expect(findClientSocket(table, { ...peer, port: 0x9c41 })).toBeNull()
  const mapped = row(4).replaceAll('0100007F', '0000000000000000FFFF00000100007F')
  expect(findClientSocket(await readTcpTable(proc([], [mapped]), 'tcp'), peer)).toEqual({ inode: '4', userId: 1000 })
  const six = row(5).replaceAll('0100007F', '00000000000000000000000001000000')
  const at = { ...peer, address: '::1', localAddress: '::1' }
  expect(findClientSocket(await readTcpTable(proc([], [six]), 'tcp'), at)).toEqual({ inode: '5', userId: 1000 })
})

test('a long table is read whole', async () => {
  const rows = Array.from({ length: 20_000 }, (_, index) =>
    row(index, 1).replace(':9C40', `:${index.toString(16).toUpperCase().padStart(4, '0')}`),
  )
  const table = await readTcpTable(proc([], rows), 'tcp')
  expect(table.size).toBe(20_001)
  expect(findClientSocket(table, { ...peer, port: 0x1234 })).toEqual({ inode: String(0x1234), userId: 1 })
})

test('all who wait share one look, and nobody gets one that began before he asked', async () => {
  let reads = 0
  const gates: (() => void)[] = []
  const look = sharedLook(() => {
    reads += 1
    const mine = reads
    return new Promise<number>((done) => gates.push(() => done(mine)))
  })
  const first = [look(), look()]
  await expect.poll(() => reads).toBe(1)
  const later = [look(), look(), look()]
  gates[0]?.()
  expect(await Promise.all(first)).toEqual([1, 1])
  await expect.poll(() => reads).toBe(2)
  gates[1]?.()
  expect(await Promise.all(later)).toEqual([2, 2, 2])
})

describe.skipIf(process.platform !== 'linux')('on this machine', () => {
  let server: Server
  let port = 0
  const accepted: Peer[] = []
  const children: ChildProcess[] = []

  beforeAll(async () => {
    server = createServer((socket) => {
      accepted.push(remoteOf(socket))
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port: chosen } = server.address() as AddressInfo
    port = chosen
  })
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    accepted.length = 0
  })
  afterAll(() => void server.close())

  /** A program that connects in this way, after `prefix`. */
  async function connected(command: string, ...args: string[]): Promise<{ child: ChildProcess; peer: Peer }> {
    const child = spawn(command, args, { stdio: 'ignore' })
    children.push(child)
    await expect.poll(() => accepted.length, { timeout: 10_000 }).toBe(1)
    const [at] = accepted
    if (at === undefined) throw new Error('nobody connected')
    return { child, peer: at }
  }
  const bindingOf = (id: number | undefined): BoundTo => ({
    kind: 'process',
    processId: id ?? 0,
    startTicks: startTicksOf(id ?? 0) ?? '',
  })
  const program = (): string => `require('net').connect(${port}, '127.0.0.1'); setTimeout(() => {}, 30000)`

  test('a child is inside of its parent’s tree and of its own, and not of another’s', async () => {
    const found = await connected(process.execPath, '-e', program())
    const stranger = spawn('sleep', ['30'], { stdio: 'ignore' })
    children.push(stranger)
    const holder = { processId: found.child.pid }
    expect(await check('/proc', bindingOf(process.pid), found.peer)).toMatchObject({ verdict: 'inside', holder })
    expect(await check('/proc', bindingOf(found.child.pid), found.peer)).toMatchObject({ verdict: 'inside', holder })
    expect(await check('/proc', bindingOf(stranger.pid), found.peer)).toMatchObject({
      verdict: 'outside',
      reason: 'process',
      holder,
    })
  })

  test('the kernel tells who holds what', async () => expect(await tellsHolders('/proc')).toBe(true))

  test('a connection that was handed to a child is inside of the child’s tree', async () => {
    // The shell opens it and stays; what it starts inherits it.
    const script = `exec 9<>/dev/tcp/127.0.0.1/${port}; sleep 30 & exec 9>&-; wait`
    const { child, peer: at } = await connected('bash', '-c', script)
    const listed = (): Promise<string> =>
      import('node:fs/promises').then((fs) => fs.readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8'))
    await expect.poll(async () => (await listed()).trim()).not.toBe('')
    const heir = Number((await listed()).trim())
    await expect
      .poll(() => check('/proc', bindingOf(child.pid), at))
      .toMatchObject({ verdict: 'inside', holder: { processId: heir } })
  })

  test('whoever has closed the connection is gone', async () => {
    const { child, peer: at } = await connected(process.execPath, '-e', program())
    child.kill('SIGKILL')
    await new Promise((done) => child.once('exit', done))
    expect(await check('/proc', bindingOf(process.pid), at)).toMatchObject({ verdict: 'outside', reason: 'closed' })
  })
})
