import { readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { isIP, isIPv4, SocketAddress } from 'node:net'
import type { SessionBinding } from '../core/records.ts'
import { isElsewhere, isSameProcess, readStat, type ProcessStat } from './process.ts'
import {
  findClientSocket,
  lookBounds,
  ownersEverywhere,
  ownersInTree,
  readTcpTable,
  type ClientSocket,
  type LookBounds,
  type Owners,
  type Peer,
} from './socket-owners.ts'

export type { Peer } from './socket-owners.ts'

/** The process that holds the client's end of a connection. */
export interface Holder {
  readonly processId: number
  /** The file that it runs, or, where nobody tells, what it calls itself: it may call itself anything. */
  readonly program: string
}

/** Whether a connection comes from where the session is bound to. */
export type PeerFinding =
  | { readonly verdict: 'inside'; readonly holder: Holder | null }
  | {
      readonly verdict: 'outside'
      readonly reason: OutsideReason
      readonly holder: Holder | null
      readonly userId: number | null
    }
  /** The platform does not tell. */
  | {
      readonly verdict: 'unknown'
      readonly reason: 'platform' | 'unreadable' | 'orphan'
      readonly holder: Holder | null
    }

export type OutsideReason =
  /** Another address than the one that the session is bound to, or another machine. */
  | 'address'
  /** A Unix socket: nobody tells who speaks there, and no run's program has business with it. */
  | 'socket'
  | 'user'
  | 'process'
  /** The process that the session is bound to is gone. */
  | 'ended'
  /** Whoever asked has closed the connection: nobody is there to answer for it. */
  | 'closed'
  /** So many processes or descriptors that it could not be looked through. */
  | 'crowded'

export interface PeerCheck {
  /** Never rejects. To be asked once for each connection and session: it reads files of the kernel. */
  check(binding: BoundTo, peer: Peer): PeerFinding | Promise<PeerFinding>
}

export type BoundTo = Exclude<SessionBinding, { readonly kind: 'unbound' }>

export interface PeerParts {
  readonly platform: NodeJS.Platform
  /** Where the kernel's process files are. */
  readonly proc: string
  readonly bounds?: LookBounds
  /** The name of this node, where others share the store: a session may be bound to a process of theirs. */
  readonly node?: string | null
  /** Whether this machine tells who holds a connection; asked before the first look. */
  readonly tells?: () => Promise<boolean>
}

/**
 * Which process holds the other end of a loopback connection, and whether it belongs to the tree of the
 * one that a session is bound to. Any holder in the tree counts: a connection may have been handed to a
 * child. Why orphans are told apart by the run's containment: docs/decisions/0011.
 */
export function createPeerCheck({ platform, proc, bounds = lookBounds, node = null, tells }: PeerParts): PeerCheck {
  const tables = [sharedLook(() => readTcpTable(proc, 'tcp')), sharedLook(() => readTcpTable(proc, 'tcp6'))] as const
  const everywhere = sharedLook(() => ownersEverywhere(proc, bounds))
  const trees = new Map<number, { readonly look: () => Promise<Owners>; waiting: number }>()

  /** All connections of one tree that wait at this moment share a look at it. */
  async function treeOf(root: number): Promise<Owners> {
    const shared = trees.get(root) ?? { look: sharedLook(() => ownersInTree(proc, root, bounds)), waiting: 0 }
    trees.set(root, shared)
    shared.waiting += 1
    try {
      return await shared.look()
    } finally {
      shared.waiting -= 1
      if (shared.waiting === 0) trees.delete(root)
    }
  }

  let told: Promise<boolean> | null = null
  /** Where even that cannot be tried there is no reason to believe that it does not. */
  const canTell = (): Promise<boolean> =>
    (told ??= tells === undefined ? Promise.resolve(true) : tells().catch(() => true))

  /** A client that speaks IPv4 may have a socket of either family; most have the first. */
  async function clientSocket(peer: Peer): Promise<ClientSocket | null> {
    for (const table of tables) {
      const found = findClientSocket(await table(), peer)
      if (found !== null) return found
    }
    return null
  }

  async function checkProcess(binding: BoundProcess, peer: Peer): Promise<PeerFinding> {
    if (!(await canTell())) return { verdict: 'unknown', reason: 'platform', holder: null }
    let client: ClientSocket | null
    try {
      // The kernel may leave a row out while others of the table come and go.
      client = (await clientSocket(peer)) ?? (await clientSocket(peer))
    } catch {
      return { verdict: 'unknown', reason: 'unreadable', holder: null }
    }
    if (client === null || client.inode === '0') return outside('closed', null, null)
    const root = readStat(proc, binding.processId)
    if (root === null || !isSameProcess(binding, root.ended ? null : root.startTicks))
      return outside('ended', null, null)
    const tree = await treeOf(binding.processId)
    const [first] = tree.holders.get(client.inode) ?? []
    if (first !== undefined) return { verdict: 'inside', holder: holderOf(proc, first, tree.processes) }
    // A second look, at everybody: processes come and go while one looks, and a refusal names who it was.
    return judge(proc, binding, client, await everywhere())
  }

  return {
    check(binding, peer) {
      if (binding.kind === 'address') {
        const same = canonicalAddress(peer.address) === binding.address
        return same ? { verdict: 'inside', holder: null } : outside('address', null, null)
      }
      if (isElsewhere(binding, node)) return outside('process', null, null)
      if (peer.address === '') return outside('socket', null, null)
      const address = canonicalAddress(peer.address)
      if (address === null || !(address === '::1' || (isIPv4(address) && address.startsWith('127.'))))
        return outside('address', null, null)
      if (platform !== 'linux') return { verdict: 'unknown', reason: 'platform', holder: null }
      return checkProcess(binding, { ...peer, address, localAddress: canonicalAddress(peer.localAddress) ?? '' })
    },
  }
}

type BoundProcess = Extract<SessionBinding, { readonly kind: 'process' }>

function judge(proc: string, binding: BoundProcess, client: ClientSocket, everyone: Owners): PeerFinding {
  const { processes, closed, holders } = everyone
  const tree = descendants(binding.processId, processes)
  const holding = holders.get(client.inode) ?? []
  const inside = holding.find((id) => tree.has(id))
  if (inside !== undefined) return { verdict: 'inside', holder: holderOf(proc, inside, processes) }
  const [first] = holding
  const holder = first === undefined ? null : holderOf(proc, first, processes)
  if (everyone.cutShort) return outside('crowded', holder, client.userId)
  const owner = userOf(proc, binding.processId)
  if (first === undefined) {
    // Its holder is one into which nobody may look: perhaps a program of the tree that runs as somebody else.
    const perhaps = closed.some((id) => tree.has(id) && userOf(proc, id) === client.userId)
    if (perhaps) return { verdict: 'unknown', reason: 'unreadable', holder: null }
    return outside(owner !== null && owner !== client.userId ? 'user' : 'process', null, client.userId)
  }
  if (owner !== null && owner !== client.userId) return outside('user', holder, client.userId)
  const begun = Number(binding.startTicks)
  if (!isContained(proc, binding.processId, tree) && holding.some((id) => isOrphan(id, begun, processes)))
    return { verdict: 'unknown', reason: 'orphan', holder }
  return outside('process', holder, client.userId)
}

function outside(reason: OutsideReason, holder: Holder | null, userId: number | null): PeerFinding {
  return { verdict: 'outside', reason, holder, userId }
}

function holderOf(proc: string, processId: number, processes: ReadonlyMap<number, ProcessStat>): Holder {
  const file = linkOf(`${proc}/${processId}/exe`)
  return { processId, program: file === null ? (processes.get(processId)?.name ?? '') : basename(file) }
}

function descendants(root: number, processes: ReadonlyMap<number, ProcessStat>): Set<number> {
  const children = new Map<number, number[]>()
  for (const [id, { parent }] of processes) {
    const siblings = children.get(parent)
    if (siblings === undefined) children.set(parent, [id])
    else siblings.push(id)
  }
  const tree = new Set([root])
  for (const id of tree) for (const child of children.get(id) ?? []) tree.add(child)
  return tree
}

/** A contained run has process ids of its own, and what is orphaned in there stays in there. */
function isContained(proc: string, root: number, tree: ReadonlySet<number>): boolean {
  const own = processNamespace(proc, root)
  for (const id of tree) {
    const namespace = processNamespace(proc, id)
    if (namespace !== null && own !== null && namespace !== own) return true
  }
  return false
}

function processNamespace(proc: string, id: number): string | null {
  return linkOf(`${proc}/${id}/ns/pid`)
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch {
    return null
  }
}

/**
 * Whether the process, or one above it, began after the run and has been taken over by the first process
 * or the user's systemd: its parent is gone, and whose child it was is not to be known.
 */
function isOrphan(processId: number, begun: number, processes: ReadonlyMap<number, ProcessStat>): boolean {
  const seen = new Set<number>()
  for (let id = processId; !seen.has(id);) {
    seen.add(id)
    const stat = processes.get(id)
    if (stat === undefined || Number(stat.startTicks) < begun) return false
    if (stat.parent === 1 || processes.get(stat.parent)?.name === 'systemd') return true
    id = stat.parent
  }
  return false
}

/** The effective user of a process (proc_pid_status(5)); null where nobody tells. */
function userOf(proc: string, id: number): number | null {
  try {
    const user = /^Uid:\t\d+\t(\d+)/m.exec(readFileSync(`${proc}/${id}/status`, 'latin1'))?.[1]
    return user === undefined ? null : Number(user)
  } catch {
    return null
  }
}

/** One spelling for each address, IPv4 also where it arrives inside IPv6; null for what is none. */
export function canonicalAddress(text: string): string | null {
  const family = isIP(text)
  if (family === 0 || text.includes('%')) return null
  const { address } = new SocketAddress({ address: text, family: family === 4 ? 'ipv4' : 'ipv6' })
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1]
  return mapped ?? address
}

/**
 * Whoever asks while nothing is read, or while something is, gets the next reading that begins: what it
 * asks about was there before that. All who wait share it.
 */
export function sharedLook<T>(read: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> = Promise.resolve()
  let next: Promise<T> | null = null
  return () => {
    next ??= running.then(() => {
      next = null
      const reading = read()
      running = reading.catch(() => undefined)
      return reading
    })
    return next
  }
}
