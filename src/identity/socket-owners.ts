import { closeSync, opendirSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs'
import { once } from 'node:events'
import { connect, createServer, isIPv4 } from 'node:net'
import { endianness } from 'node:os'
import { readStat, type ProcessStat } from './process.ts'

/** The other end of a connection, as the gateway sees it. Address empty: a Unix socket, whose peer nobody tells. */
export interface Peer {
  readonly address: string
  readonly port: number
  /** Where it was accepted. */
  readonly localAddress: string
  readonly localPort: number
}

/** The client's own end of a loopback connection. */
export interface ClientSocket {
  /** 0: whoever had it open has closed it. */
  readonly inode: string
  readonly userId: number
}

/** Processes of one look; beyond it the look is given up. */
export const LOOK_PROCESSES_MAXIMUM = 20_000
/** Descriptors of one look, of all its processes together. */
export const LOOK_DESCRIPTORS_MAXIMUM = 500_000

export interface LookBounds {
  readonly processes: number
  readonly descriptors: number
}

export const lookBounds: LookBounds = { processes: LOOK_PROCESSES_MAXIMUM, descriptors: LOOK_DESCRIPTORS_MAXIMUM }
/** Files of the kernel that are read before others get their turn: each takes some 10 µs. */
const OPERATIONS_PER_TURN = 64
const PAGES_PER_TURN = 8
const PAGE_BYTES = 64 * 1024

/** Who holds which sockets, as far as this user may look. */
export interface Owners {
  /** Inode to the processes that have it open. */
  readonly holders: ReadonlyMap<string, readonly number[]>
  readonly processes: ReadonlyMap<number, ProcessStat>
  /** Processes into which this user may not look. */
  readonly closed: readonly number[]
  /** Not everything was looked at: there was too much. */
  readonly cutShort: boolean
}

/** Rows of /proc/net/tcp or tcp6 (proc_pid_net(5)) by their two ends, written as the kernel writes them. */
export type TcpTable = ReadonlyMap<string, string>

/** The client's own row of this connection; null: there is none, so it was closed. */
export function findClientSocket(table: TcpTable, peer: Peer): ClientSocket | null {
  const port = (value: number): string => value.toString(16).toUpperCase().padStart(4, '0')
  const dialled = hexAddresses(peer.localAddress)
  for (const [place, address] of hexAddresses(peer.address).entries()) {
    const row = table.get(`${address}:${port(peer.port)} ${dialled[place]}:${port(peer.localPort)}`)
    if (row === undefined) continue
    const [, , , , , , userId = '', , inode = ''] = row.split(/ +/)
    return { inode, userId: Number(userId) }
  }
  return null
}

/** As the kernel prints it: words of four bytes, each as the processor holds it. An IPv4 client may have a socket of either family. */
function hexAddresses(address: string): string[] {
  if (address === '::1') return [words([0, 0, 0, 1])]
  if (!isIPv4(address)) return []
  const word = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  return [words([word]), words([0, 0, 0xffff, word])]
}

function words(values: readonly number[]): string {
  const swap = endianness() === 'LE'
  return values
    .map((value) => {
      const bytes = Buffer.alloc(4)
      if (swap) bytes.writeUInt32LE(value)
      else bytes.writeUInt32BE(value)
      return bytes.toString('hex').toUpperCase()
    })
    .join('')
}

/**
 * The kernel gives a page at a time, which takes it some 30 µs, and on a busy machine there are hundreds: a
 * few, and then others get their turn. A kernel without IPv6 has no tcp6. Rejects where tcp cannot be read.
 */
export async function readTcpTable(proc: string, name: 'tcp' | 'tcp6'): Promise<TcpTable> {
  const rows = new Map<string, string>()
  let file: number
  try {
    file = openSync(`${proc}/self/net/${name}`, 'r')
  } catch (error) {
    if (name === 'tcp6') return rows
    throw error
  }
  try {
    const page = Buffer.alloc(PAGE_BYTES)
    let rest = ''
    for (let pages = 1; ; pages += 1) {
      const length = readSync(file, page)
      if (length === 0) return rows
      const lines = (rest + page.toString('latin1', 0, length)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const row = line.slice(line.indexOf(': ') + 2)
        rows.set(row.slice(0, row.indexOf(' ', row.indexOf(' ') + 1)), row)
      }
      if (pages % PAGES_PER_TURN === 0) await turn()
    }
  } finally {
    closeSync(file)
  }
}

/**
 * Whether this kernel tells who holds a connection, tried with one of this process's own: some that look
 * like Linux have the files and not what should stand in them. Rejects where it cannot be tried.
 */
export async function tellsHolders(proc: string): Promise<boolean> {
  const server = createServer().listen(0, '127.0.0.1')
  try {
    await once(server, 'listening')
    const bound = server.address()
    const localPort = bound !== null && typeof bound === 'object' ? bound.port : 0
    const client = connect(localPort, '127.0.0.1')
    try {
      await once(client, 'connect')
      const address = '127.0.0.1'
      const peer = { address, port: client.localPort ?? 0, localAddress: address, localPort }
      const found = findClientSocket(await readTcpTable(proc, 'tcp'), peer)
      const { holders } = await look(proc, [process.pid], () => [], lookBounds)
      return found !== null && holders.get(found.inode)?.includes(process.pid) === true
    } finally {
      client.destroy()
    }
  } finally {
    server.close()
  }
}

/** The process and all that descend from it. */
export function ownersInTree(proc: string, root: number, bounds: LookBounds): Promise<Owners> {
  return look(proc, [root], (id) => childrenOf(proc, id), bounds)
}

/** Every process. */
export function ownersEverywhere(proc: string, bounds: LookBounds): Promise<Owners> {
  const all = readdirSync(proc).flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
  return look(proc, all, () => [], bounds)
}

async function look(
  proc: string,
  first: readonly number[],
  next: (id: number) => readonly number[],
  bounds: LookBounds,
): Promise<Owners> {
  const holders = new Map<string, number[]>()
  const processes = new Map<number, ProcessStat>()
  const closed: number[] = []
  const queue = [...first]
  let descriptors = 0
  let cutShort = false
  const breathe = everySoOften()
  for (const id of queue) {
    if (processes.size >= bounds.processes || descriptors >= bounds.descriptors) {
      cutShort = true
      break
    }
    await breathe()
    const stat = readStat(proc, id)
    if (stat === null || processes.has(id)) continue
    processes.set(id, stat)
    queue.push(...next(id))
    const folder = openFolder(`${proc}/${id}/fd`)
    if (folder === null) {
      closed.push(id)
      continue
    }
    try {
      for (let entry = folder.readSync(); entry !== null && descriptors < bounds.descriptors;) {
        descriptors += 1
        await breathe()
        const inode = socketInode(`${proc}/${id}/fd/${entry.name}`)
        const known = inode === null ? undefined : holders.get(inode)
        if (known !== undefined) known.push(id)
        else if (inode !== null) holders.set(inode, [id])
        entry = folder.readSync()
      }
    } catch {
      // It ended while it was looked at.
    } finally {
      folder.closeSync()
    }
  }
  return { holders, processes, closed, cutShort }
}

function everySoOften(): () => Promise<void> | undefined {
  let operations = 0
  return () => {
    operations += 1
    return operations % OPERATIONS_PER_TURN === 0 ? turn() : undefined
  }
}

function turn(): Promise<void> {
  return new Promise((done) => void setImmediate(done))
}

function openFolder(path: string): ReturnType<typeof opendirSync> | null {
  try {
    return opendirSync(path)
  } catch {
    return null
  }
}

function socketInode(path: string): string | null {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.[1] ?? null
  } catch {
    return null
  }
}

/** Children of every thread (proc_pid_task(5)); the kernel may leave some out while others end, so absence proves nothing. */
function childrenOf(proc: string, id: number): number[] {
  try {
    return readdirSync(`${proc}/${id}/task`).flatMap((thread) =>
      readFileSync(`${proc}/${id}/task/${thread}/children`, 'latin1')
        .split(' ')
        .flatMap((text) => (text === '' ? [] : [Number(text)])),
    )
  } catch {
    return []
  }
}
