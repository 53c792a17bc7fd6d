import type { Socket } from 'node:net'
import { scrubText } from '../core/scrub.ts'
import { canonicalAddress, type Peer, type PeerCheck, type PeerFinding } from '../identity/peer.ts'
import type { Caller } from '../identity/sessions.ts'
import type { NeedleSource } from './needle-source.ts'
import { refusedTo, type Refusal } from './refusal.ts'

/** Bound sessions that one connection may speak for before the first of them is looked at again. */
export const CHECKED_SESSIONS_MAXIMUM = 64

/** Whether a session may be used on a connection. Asked on every request outside of tunnels, and for each CONNECT. */
export interface PeerGate {
  /** Null: it may. A promise only for the first request of a bound session on a connection. */
  refusalOf(caller: Caller, connection: Peer): Refusal | null | Promise<Refusal | null>
  /** What the journal says of where a bound session called from. */
  factsOf(caller: Caller, connection: Peer): PeerFacts
}

export interface PeerFacts {
  readonly bound?: string
  readonly process?: number
  readonly program?: string
}

const unbound: PeerFacts = {}

export function createPeerGate({ check, needles }: { check: PeerCheck; needles: NeedleSource }): PeerGate {
  const found = new WeakMap<Peer, Map<string, PeerFinding>>()

  function remember(connection: Peer, sessionId: string, finding: PeerFinding): void {
    const known = found.get(connection) ?? new Map<string, PeerFinding>()
    if (known.size >= CHECKED_SESSIONS_MAXIMUM) known.clear()
    known.set(sessionId, finding)
    found.set(connection, known)
  }

  function holderFacts(finding: PeerFinding): Record<string, string | number> {
    if (finding.holder === null) return {}
    const { processId, program } = finding.holder
    // A program may call itself anything, also by what it should not know.
    return { process: processId, program: scrubText(needles.of('', null), program).text }
  }

  function refusalFor(caller: Caller, finding: PeerFinding): Refusal | null {
    if (finding.verdict !== 'outside') return null
    const user = finding.userId === null ? {} : { user: finding.userId }
    const facts = { bound: caller.binding.kind, reason: finding.reason, ...user, ...holderFacts(finding) }
    return refusedTo(caller, { refusal: 'session_elsewhere', facts })
  }

  async function look(caller: Caller, connection: Peer): Promise<Refusal | null> {
    if (caller.binding.kind === 'unbound') return null
    const finding = await check.check(caller.binding, connection)
    remember(connection, caller.sessionId, finding)
    return refusalFor(caller, finding)
  }

  return {
    refusalOf(caller, connection) {
      if (caller.narrowed !== null && !isFromWhereItMay(caller.narrowed.addresses, connection))
        return refusedTo(caller, { refusal: 'narrowed_elsewhere' })
      if (caller.binding.kind === 'unbound') return null
      const known = found.get(connection)?.get(caller.sessionId)
      return known === undefined ? look(caller, connection) : refusalFor(caller, known)
    },
    factsOf(caller, connection) {
      const { kind } = caller.binding
      if (kind === 'unbound') return unbound
      const finding = found.get(connection)?.get(caller.sessionId)
      if (finding === undefined) return { bound: kind }
      return {
        bound: finding.verdict === 'unknown' ? `${kind}, not proven: ${finding.reason}` : kind,
        ...holderFacts(finding),
      }
    },
  }
}

function isFromWhereItMay(addresses: readonly string[], { address }: Peer): boolean {
  if (addresses.length === 0) return true
  const from = canonicalAddress(address)
  return from !== null && addresses.every((one) => canonicalAddress(one) === from)
}

/** The other end of a socket that was accepted just now. */
export function remoteOf(socket: Socket): Peer {
  const { remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 } = socket
  return { address: remoteAddress, port: remotePort, localAddress, localPort }
}

/** Where nothing is known of the other end. */
export const nowhere: Peer = { address: '', port: 0, localAddress: '', localPort: 0 }
