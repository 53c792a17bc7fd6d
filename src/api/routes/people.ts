import { KeywardError } from '../../core/errors.ts'
import { callerOf } from '../caller.ts'
import type { Handlers } from '../parts.ts'

export const peopleRoutes: Handlers<
  | 'GET /me'
  | 'DELETE /me/login'
  | 'POST /logins'
  | 'POST /logins/oidc/begin'
  | 'POST /logins/oidc'
  | 'GET /logins'
  | 'DELETE /logins/:id'
  | 'POST /login-codes'
  | 'GET /people'
  | 'POST /people'
  | 'PUT /people/:id'
  | 'DELETE /people/:id'
> = {
  'GET /me': (_, { caller }) => {
    if (caller.kind === 'nobody') throw new KeywardError('login_required')
    const { kind, name, role, groups, login } = caller
    return {
      name,
      role,
      groups,
      owner: kind === 'owner',
      login: login === null ? null : { id: login.id, provenAt: login.provenAt, expiresAt: login.expiresAt },
    }
  },

  'DELETE /me/login': async (parts, { caller, actor }) => {
    if (caller.kind === 'nobody' || caller.login === null)
      throw new KeywardError('usage', 'At the socket nobody is logged in.')
    await parts.logins.end(caller.login.id, actor)
    return { done: true }
  },

  'POST /logins': async (parts, { input }) => {
    const { token, login } = await parts.logins.redeem(input.code)
    const { name, role, groups } = callerOf(login, parts.ownerName)
    return { token, name, role, groups, expiresAt: login.expiresAt }
  },

  'POST /logins/oidc/begin': (parts) => parts.personOidc.begin(),

  'POST /logins/oidc': async (parts, { input }) => {
    const { personId } = await parts.personOidc.prove(input.idToken)
    const { token, login } = await parts.logins.open(personId, 'oidc')
    const { name, role, groups } = callerOf(login, parts.ownerName)
    return { token, name, role, groups, expiresAt: login.expiresAt }
  },

  'GET /logins': (parts) =>
    parts.logins.list().map(({ id, person, how, createdAt, expiresAt }) => ({
      id,
      name: person?.name ?? parts.ownerName,
      owner: person === null,
      how,
      createdAt,
      expiresAt,
    })),

  'DELETE /logins/:id': async (parts, { path, actor }) => {
    await parts.logins.end(path.id, actor)
    return { done: true }
  },

  'POST /login-codes': async (parts, { input, caller, actor }) => {
    const person = input.person === undefined ? null : parts.people.find(input.person)
    if (person === undefined) throw new KeywardError('not_found', 'There is no person of this name.')
    // Otherwise an admin who is a person could become the owner, and stay it when his own role is taken.
    if (person === null && caller.kind !== 'owner')
      throw new KeywardError('role_missing', 'Only the owner logs in as the owner: name a person.')
    const { code, expiresAt } = parts.logins.offer(person === null ? null : person.id)
    const detail = { person: person === null ? null : person.record.name }
    await parts.journal.append({ kind: 'control', action: 'login.offer', actor, detail }, { sync: true })
    return { code, link: parts.listenUrl === null ? null : `${parts.listenUrl}/login#${code}`, expiresAt }
  },

  'GET /people': (parts) => {
    const logins = parts.logins.list()
    return parts.people.list().map(({ id, record }) => ({
      id,
      name: record.name,
      role: record.role,
      groups: record.groups,
      logins: logins.filter(({ personId }) => personId === id).length,
      createdAt: record.createdAt,
    }))
  },

  'POST /people': (parts, { input, actor }) => parts.people.add(input, actor),

  'PUT /people/:id': async (parts, { path, input, actor }) => {
    await parts.people.set(path.id, input, actor)
    return { done: true }
  },

  'DELETE /people/:id': async (parts, { path, actor }) => {
    await parts.people.remove(path.id, actor)
    return { done: true }
  },
}
