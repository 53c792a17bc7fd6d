import type { X509Certificate } from 'node:crypto'
import type { Context } from 'hono'
import { KeywardError } from '../core/errors.ts'
import { looksLikeNarrowedToken } from '../core/narrowed-token.ts'
import { looksLikePlaceholder, looksLikeSessionToken } from '../core/placeholder.ts'
import type { Role } from '../core/records.ts'
import type { Login, Logins } from '../identity/logins.ts'
import { EVERYTHING, PERSON } from '../identity/people.ts'
import type { Attempts } from './network-rules.ts'

/** Who asks the control API. */
export type Caller = Known | { readonly kind: 'nobody' }

export interface Known {
  readonly kind: 'owner' | 'person'
  /** As the journal names them. */
  readonly actor: string
  /** What a person is called, and what counts as his own beside his groups. */
  readonly name: string
  readonly role: Role
  /** Whose agents and credentials the role is about; `*`: everything. */
  readonly groups: readonly string[]
  /** The login by which they came; null: the socket. */
  readonly login: Login | null
}

/** The other end of the connection. */
export interface Peer {
  /** An IP address; null: whoever opened the socket. */
  readonly address: string | null
  /** What it proved by TLS, verified against the authority for clients; null: nothing. */
  readonly certificate: X509Certificate | null
}

/** One way into the control API. */
export interface Door {
  /** Who asks. Throws where what they present is not for here. */
  identify(context: Context): Caller
  peer(context: Context): Peer
  /** Counts what fails of the requests that bring their own proof; null: nobody strange comes in here. */
  readonly attempts: Attempts | null
}

/** The Unix socket, which its owner alone can open: whoever asks there has every right. */
export function ownersDoor(actor: string): Door {
  const owner: Known = {
    kind: 'owner',
    actor,
    name: actor.replace(/^operator:/, ''),
    role: 'admin',
    groups: [EVERYTHING],
    login: null,
  }
  return {
    identify(context) {
      // Nothing here takes one. Whoever sends one is not the person at the socket but an agent that was led to it.
      if (context.req.header('authorization') !== undefined || context.req.header('proxy-authorization') !== undefined)
        throw new KeywardError('token_invalid', 'The control API takes no token.')
      return owner
    },
    peer: () => ({ address: null, certificate: null }),
    attempts: null,
  }
}

/** The network: a person's token says who asks, and an agent's is refused. */
export function networkDoor(parts: {
  readonly ownerName: string
  readonly logins: Pick<Logins, 'byToken'>
  /** Whether what this node knows of people is not older than a second. */
  readonly lease: { held(): boolean }
  readonly peer: (context: Context) => Peer
  readonly attempts: Attempts
  /** An agent was led here, or tries. */
  readonly onAgent: (address: string | null) => void
}): Door {
  return {
    peer: parts.peer,
    attempts: parts.attempts,
    identify(context) {
      const { address } = parts.peer(context)
      const header = context.req.header('authorization')
      if (context.req.header('proxy-authorization') !== undefined)
        throw new KeywardError('token_invalid', 'The control API is no proxy.')
      if (header === undefined) return { kind: 'nobody' }
      parts.attempts.check(address)
      const token = /^Bearer ([\x21-\x7e]{1,256})$/i.exec(header)?.[1] ?? ''
      const isAgent = [looksLikeSessionToken, looksLikeNarrowedToken, looksLikePlaceholder].some((looks) =>
        looks(token),
      )
      const login = isAgent ? null : parts.logins.byToken(token)
      if (login === null) {
        parts.attempts.fail(address)
        if (isAgent) parts.onAgent(address)
        throw new KeywardError(isAgent ? 'agent_refused' : 'login_invalid')
      }
      if (!parts.lease.held()) throw new KeywardError('lease_lost')
      return callerOf(login, parts.ownerName)
    },
  }
}

export function callerOf(login: Login, ownerName: string): Known {
  if (login.person === null)
    return {
      kind: 'owner',
      actor: ownerName,
      name: ownerName.replace(/^operator:/, ''),
      role: 'admin',
      groups: [EVERYTHING],
      login,
    }
  const { name, role, groups } = login.person
  return { kind: 'person', actor: `${PERSON}${name}`, name, role, groups, login }
}
