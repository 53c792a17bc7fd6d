import { KeywardError } from '../core/errors.ts'
import type { Role } from '../core/records.ts'
import { coversOwner, EVERYTHING, reaches } from '../identity/people.ts'
import type { Caller, Known } from './caller.ts'
import type { ControlParts } from './parts.ts'

/**
 * What a route is about. `anything`: what everybody may know or do who has the role; `home`: all of the home, so
 * for those alone whose groups are everything; otherwise a thing that somebody owns, or the list of such things.
 */
export type Subject =
  | 'anything'
  | 'home'
  | 'credential'
  | 'agent'
  | 'grant'
  | 'session'
  | 'approval'
  | 'enrolment'
  | 'trust'

/** Who may: whoever has the role, or `anyone`, where the request brings its own proof. */
export interface Access {
  readonly needs: Role | 'anyone'
  readonly on: Subject
  /** The answer is a list, of which everybody gets what is his. */
  readonly lists?: true
}

/** How long ago a person may have logged in who asks for a secret. */
export const REVEAL_PROOF_MILLISECONDS = 5 * 60 * 1000

/** Who owns what is asked about; null where nobody does, or where there is no such thing. */
type Owners = readonly (string | null)[]

type OwnerParts = Pick<ControlParts, 'records' | 'credentials' | 'agents' | 'approvals'>

interface Asked {
  readonly path: Readonly<Record<'environment' | 'name' | 'id' | 'service', string>>
  readonly input: object
}

/**
 * Refuses whoever may not: `login_required` where nobody is known, `role_missing` where the role or the groups do
 * not reach. What does not exist is refused like what belongs to others.
 */
export function checkAccess(caller: Caller, { needs, on, lists }: Access, asked: Asked, parts: OwnerParts): void {
  if (needs === 'anyone') return
  if (caller.kind === 'nobody') throw new KeywardError('login_required')
  if (!reaches(caller.role, needs)) throw new KeywardError('role_missing', `It needs the role ${needs}.`)
  if (on === 'anything' || hasEverything(caller)) return
  if (on === 'home') throw new KeywardError('role_missing', 'It is about the whole home.')
  if (lists === true) return
  if (ownersOf(on, asked, parts).some((owner) => !coversOwner(caller.groups, caller.name, owner)))
    throw new KeywardError('role_missing', 'It is about what belongs to others.')
}

/** Those items of a list that the caller may see. */
export function visibleTo<T>(caller: Caller, { on }: Access, items: readonly T[], parts: OwnerParts): readonly T[] {
  if (caller.kind === 'nobody' || on === 'anything' || on === 'home' || hasEverything(caller)) return items
  return items.filter((item) =>
    ownersOfItem(on, item, parts).every((owner) => coversOwner(caller.groups, caller.name, owner)),
  )
}

/** A person proves who he is once more before he is shown a secret. */
export function checkProof(caller: Caller, now: number): void {
  if (caller.kind === 'nobody') throw new KeywardError('login_required')
  if (caller.login !== null && caller.login.provenAt + REVEAL_PROOF_MILLISECONDS < now)
    throw new KeywardError('login_stale')
}

function hasEverything(caller: Known): boolean {
  return caller.groups.includes(EVERYTHING)
}

function ownersOf(on: Exclude<Subject, 'anything' | 'home'>, { path, input }: Asked, parts: OwnerParts): Owners {
  const written = (member: string): string | null => {
    const value: unknown = Reflect.get(input, member)
    return typeof value === 'string' ? value : null
  }
  const { environment, name, id } = path
  switch (on) {
    case 'credential':
      return [name === '' ? written('owner') : ownerOfCredential(environment, name, parts)]
    case 'agent':
      return [name === '' ? written('owner') : ownerOfAgent(environment, name, parts)]
    case 'grant': {
      if (id === '')
        return [
          ownerOfAgent(environment, written('agent') ?? '', parts),
          ownerOfCredential(environment, written('credential') ?? '', parts),
        ]
      const grant = parts.records.get('grant', id)
      if (grant === undefined) return [null]
      return [
        parts.records.get('agent', grant.agentId)?.owner ?? null,
        parts.records.get('credential', grant.credentialId)?.owner ?? null,
      ]
    }
    case 'session': {
      if (id === '') return [ownerOfAgent(environment, written('agent') ?? '', parts)]
      // The id may be that of a narrowing, which belongs to whom its session does.
      const session = parts.records.get('session', parts.records.get('narrowing', id)?.sessionId ?? id)
      return [session === undefined ? null : (parts.records.get('agent', session.agentId)?.owner ?? null)]
    }
    case 'enrolment':
    case 'trust': {
      const record = parts.records.get(on, id)
      return [record === undefined ? null : (parts.records.get('agent', record.agentId)?.owner ?? null)]
    }
    case 'approval': {
      const facts = parts.approvals.get(id)?.facts
      return [facts === undefined ? null : ownerOfCredential(facts.environment, facts.credential, parts)]
    }
  }
}

function ownersOfItem(on: Exclude<Subject, 'anything' | 'home'>, item: unknown, parts: OwnerParts): Owners {
  if (typeof item !== 'object' || item === null) return [null]
  const member = (name: string): string => String(Reflect.get(item, name) ?? '')
  const environment = member('environment')
  switch (on) {
    case 'credential':
      return [ownerOfCredential(environment, member('name'), parts)]
    case 'agent':
      return [ownerOfAgent(environment, member('name'), parts)]
    case 'grant':
      return [
        ownerOfAgent(environment, member('agent'), parts),
        ownerOfCredential(environment, member('credential'), parts),
      ]
    case 'session':
      return [ownerOfAgent(environment, member('agent'), parts)]
    case 'approval':
      return [ownerOfCredential(environment, member('credential'), parts)]
    case 'enrolment':
    case 'trust':
      return [null]
  }
}

function ownerOfAgent(environment: string, name: string, { agents }: Pick<ControlParts, 'agents'>): string | null {
  return agents.find(environment, name)?.record.owner ?? null
}

function ownerOfCredential(
  environment: string,
  name: string,
  { credentials }: Pick<ControlParts, 'credentials'>,
): string | null {
  return credentials.find(environment, name)?.record.owner ?? null
}
