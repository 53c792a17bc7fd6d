import { KeywardError } from '../core/errors.ts'
import { checkOwner } from '../core/name.ts'
import type { PersonRecord, Role } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'

/** People whom one home may know. */
export const maximumPeople = 10_000
/** Groups of one person. */
export const maximumGroupsPerPerson = 64
/** The group that stands for everything. */
export const EVERYTHING = '*'

/** What the names of people begin with in the journal. */
export const PERSON = 'person:'

export const roles: readonly Role[] = ['viewer', 'approver', 'operator', 'admin']

export interface FoundPerson {
  readonly id: string
  readonly record: PersonRecord
}

export interface People {
  /** Throws `usage` (name, groups), `already_exists`, `overloaded`. */
  add(person: { name: string; role: Role; groups: readonly string[] }, actor: string): Promise<{ id: string }>
  /** Bites at once, in logins that are open too. Throws `not_found`, `usage`. */
  set(id: string, change: { role: Role; groups: readonly string[] }, actor: string): Promise<void>
  /** Keeps who the provider says it is, the first time; afterwards throws `login_invalid` where it is another. */
  meet(id: string, subject: { issuer: string; subject: string }): Promise<void>
  /** With every login. */
  remove(id: string, actor: string): Promise<void>
  find(name: string): FoundPerson | undefined
  get(id: string): PersonRecord | undefined
  /** By name. */
  list(): readonly FoundPerson[]
}

/** Whether a role may do what `least` may. */
export function reaches(role: Role, least: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(least)
}

/** Whether whoever acts for `groups` may touch what belongs to `owner`. What nobody owns belongs to those who have everything. */
export function coversOwner(groups: readonly string[], name: string, owner: string | null): boolean {
  return groups.includes(EVERYTHING) || (owner !== null && (owner === name || groups.includes(owner)))
}

export function createPeople({
  records,
  now,
  newId,
}: {
  records: Records
  now: () => number
  newId: () => string
}): People {
  function need(id: string): PersonRecord {
    const record = records.get('person', id)
    if (record === undefined) throw new KeywardError('not_found', 'The person does not exist.')
    return record
  }

  function find(name: string): FoundPerson | undefined {
    for (const [id, record] of records.all('person')) if (record.name === name) return { id, record }
    return undefined
  }

  return {
    async add(person, actor) {
      const body: PersonRecord = {
        name: checkPersonName(person.name),
        role: person.role,
        groups: checkGroups(person.groups),
        createdAt: now(),
      }
      const id = newId()
      const changes = (): Change[] => {
        if (find(body.name) !== undefined) throw new KeywardError('already_exists', 'There is a person of this name.')
        if (records.all('person').size >= maximumPeople)
          throw new KeywardError('overloaded', `A home knows at most ${maximumPeople} people.`)
        return [{ table: 'person', id, body }]
      }
      await records.commit(changes, { actor, action: 'person.add', detail: describe(body) })
      return { id }
    },

    async set(id, { role, groups }, actor) {
      const checked = checkGroups(groups)
      const detail = describe({ ...need(id), role, groups: checked })
      const changes = (): Change[] => [{ table: 'person', id, body: { ...need(id), role, groups: checked } }]
      await records.commit(changes, { actor, action: 'person.set', detail })
    },

    async meet(id, { issuer, subject }) {
      const other = new KeywardError('login_invalid', 'The provider proves another person of this name.')
      const isKnown = (): boolean => {
        const known = records.get('person', id)?.subject
        if (known !== undefined && (known.issuer !== issuer || known.subject !== subject)) throw other
        return known !== undefined
      }
      if (subject === '') throw other
      if (isKnown()) return
      const changes = (): Change[] =>
        isKnown() ? [] : [{ table: 'person', id, body: { ...need(id), subject: { issuer, subject } } }]
      const { name } = need(id)
      await records.commit(changes, {
        actor: `${PERSON}${name}`,
        action: 'person.meet',
        detail: { person: name, issuer },
      })
    },

    async remove(id, actor) {
      const detail = describe(need(id))
      const changes = (): Change[] => {
        need(id)
        const removed: Change[] = [{ table: 'person', id, body: null }]
        for (const [loginId, login] of records.all('login'))
          if (login.personId === id) removed.push({ table: 'login', id: loginId, body: null })
        return removed
      }
      await records.commit(changes, { actor, action: 'person.remove', detail })
    },

    find,
    get: (id) => records.get('person', id),
    list: () =>
      [...records.all('person')]
        .map(([id, record]) => ({ id, record }))
        .toSorted((left, right) => (left.record.name < right.record.name ? -1 : 1)),
  }
}

function checkPersonName(name: string): string {
  const checked = checkOwner(name)
  if (checked === null || checked === EVERYTHING) throw new KeywardError('usage', 'A person has a name.')
  return checked
}

function checkGroups(groups: readonly string[]): readonly string[] {
  const checked = [...new Set(groups.map((group) => checkOwner(group) ?? ''))].toSorted()
  if (checked.length >= 1 && checked.length <= maximumGroupsPerPerson) return checked
  throw new KeywardError(
    'usage',
    `A person has 1 to ${maximumGroupsPerPerson} groups; everything is written ${EVERYTHING}.`,
  )
}

function describe({ name, role, groups }: Pick<PersonRecord, 'name' | 'role' | 'groups'>) {
  return { person: name, role, groups: [...groups] }
}
