import { createHmac } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import { looksLikeLoginToken, makeLoginToken } from '../core/placeholder.ts'
import type { LoginRecord, PersonRecord } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'
import { PERSON } from './people.ts'
import { randomTextFrom } from './random-text.ts'

/** How long a person's login lasts. */
export const LOGIN_MILLISECONDS = 8 * 60 * 60 * 1000
/** How long a one-time code may be used. */
export const LOGIN_CODE_MILLISECONDS = 5 * 60 * 1000
/** Codes that may be open at a time; the oldest goes first. */
export const LOGIN_CODES_MAXIMUM = 100
/** Logins on record; those that are over are forgotten when another begins. */
export const LOGINS_MAXIMUM = 10_000

/** Who is logged in. */
export interface Login {
  readonly id: string
  /** null: the owner of the home. */
  readonly person: PersonRecord | null
  readonly personId: string | null
  /** When the person last proved who he is, in milliseconds since the Unix epoch. */
  readonly provenAt: number
  readonly expiresAt: number
}

export interface Logins {
  /** A code by which a person, or (null) the owner, logs in once. It is kept in the memory of this node alone. */
  offer(personId: string | null): { readonly code: string; readonly expiresAt: number }
  /** Uses the code up. Throws `login_invalid`. */
  redeem(code: string): Promise<{ readonly token: string; readonly login: Login }>
  /** Logs in whoever was proven to be this person. Throws `login_invalid`, `overloaded`. */
  open(personId: string | null, how: LoginRecord['how']): Promise<{ readonly token: string; readonly login: Login }>
  /** null: not a login, or one that is over. */
  byToken(text: string): Login | null
  /** Newest first. */
  list(): readonly (Login & { readonly how: LoginRecord['how']; readonly createdAt: number })[]
  /** Throws `not_found`. */
  end(id: string, actor: string): Promise<void>
}

export interface LoginParts {
  readonly records: Records
  /** HMAC-SHA256 key of login tokens and codes. */
  readonly key: KeyObject
  readonly randomBytes: (size: number) => Uint8Array
  readonly now: () => number
  readonly newId: () => string
  /** How the journal names the owner of the home. */
  readonly ownerName: string
}

/** Logins of people: tokens that are found by their keyed hash, as those of agents, and in another table under another key. */
export function createLogins({ records, key, randomBytes, now, newId, ownerName }: LoginParts): Logins {
  const randomText = randomTextFrom(randomBytes)
  const idByHash = new Map<string, string>()
  const codes = new Map<string, { personId: string | null; expiresAt: number }>()
  const hashOf = (text: string): string => createHmac('sha256', key).update(text, 'utf8').digest('base64url')

  for (const [id, record] of records.all('login')) idByHash.set(record.tokenHash, id)
  records.onCommit((changes) => {
    for (const change of changes) {
      if (change.table !== 'login') continue
      if (change.body !== null) idByHash.set(change.body.tokenHash, change.id)
      else for (const [hash, id] of idByHash) if (id === change.id) idByHash.delete(hash)
    }
  })

  function view(id: string, record: LoginRecord): Login | null {
    const { personId, createdAt, expiresAt } = record
    if (expiresAt <= now()) return null
    const person = personId === null ? null : records.get('person', personId)
    return person === undefined ? null : { id, person, personId, provenAt: createdAt, expiresAt }
  }

  async function open(personId: string | null, how: LoginRecord['how']) {
    const token = makeLoginToken(randomText)
    const id = newId()
    const at = now()
    const body: LoginRecord = {
      personId,
      tokenHash: hashOf(token),
      how,
      createdAt: at,
      expiresAt: at + LOGIN_MILLISECONDS,
    }
    const name = personId === null ? ownerName : records.get('person', personId)?.name
    if (name === undefined) throw new KeywardError('login_invalid')
    const changes = (): Change[] => {
      if (personId !== null && records.get('person', personId) === undefined) throw new KeywardError('login_invalid')
      const over: Change[] = []
      for (const [otherId, other] of records.all('login'))
        if (other.expiresAt <= at) over.push({ table: 'login', id: otherId, body: null })
      if (records.all('login').size - over.length >= LOGINS_MAXIMUM) throw new KeywardError('overloaded')
      return [...over, { table: 'login', id, body }]
    }
    const actor = personId === null ? name : `${PERSON}${name}`
    await records.commit(changes, { actor, action: 'login.open', detail: { login: id, how } })
    const login = view(id, body)
    if (login === null) throw new KeywardError('login_invalid')
    return { token, login }
  }

  return {
    offer(personId) {
      const code = makeLoginToken(randomText)
      const expiresAt = now() + LOGIN_CODE_MILLISECONDS
      const [oldest] = codes.keys()
      if (codes.size >= LOGIN_CODES_MAXIMUM && oldest !== undefined) codes.delete(oldest)
      codes.set(hashOf(code), { personId, expiresAt })
      return { code, expiresAt }
    },

    async redeem(code) {
      const hash = looksLikeLoginToken(code) ? hashOf(code) : ''
      const offered = codes.get(hash)
      // Gone before anything is waited for: of two who use it at once, one comes too late.
      codes.delete(hash)
      if (offered === undefined || offered.expiresAt <= now()) throw new KeywardError('login_invalid')
      return open(offered.personId, 'link')
    },

    open,

    byToken(text) {
      const id = looksLikeLoginToken(text) ? idByHash.get(hashOf(text)) : undefined
      const record = id === undefined ? undefined : records.get('login', id)
      return id === undefined || record === undefined ? null : view(id, record)
    },

    list: () =>
      [...records.all('login')]
        .flatMap(([id, record]) => {
          const login = view(id, record)
          return login === null ? [] : [{ ...login, how: record.how, createdAt: record.createdAt }]
        })
        .toSorted((left, right) => right.createdAt - left.createdAt || (left.id < right.id ? -1 : 1)),

    async end(id, actor) {
      const changes = (): Change[] => {
        if (records.get('login', id) === undefined) throw new KeywardError('not_found', 'There is no such login.')
        return [{ table: 'login', id, body: null }]
      }
      await records.commit(changes, { actor, action: 'login.end', detail: { login: id } })
    },
  }
}
