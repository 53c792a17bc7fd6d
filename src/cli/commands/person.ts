import type { Role } from '../../core/records.ts'
import { KeywardError } from '../../core/errors.ts'
import type { Call, Io, JsonOption } from '../io.ts'
import { firstOf } from '../io.ts'
import { moment, note, printJson, printLine, printTable } from '../print.ts'

interface RoleOptions {
  readonly role: Role
  readonly group?: readonly string[]
}

export async function add({ io, args, options }: Call<RoleOptions>): Promise<void> {
  const { role, group } = options
  await io.client().call('POST /people', {}, { name: firstOf(args), role, groups: groupsOf(group) })
  printLine(io, `${firstOf(args)} is ${role}. Next: keyward person code ${firstOf(args)}`)
}

export async function set({ io, args, options }: Call<RoleOptions>): Promise<void> {
  const { role, group } = options
  const id = await idOf(io, firstOf(args))
  await io.client().call('PUT /people/:id', { id }, { role, groups: groupsOf(group) })
  printLine(io, `${firstOf(args)} is ${role} from now on.`)
}

export async function remove({ io, args }: Call): Promise<void> {
  await io.client().call('DELETE /people/:id', { id: await idOf(io, firstOf(args)) }, {})
  printLine(io, `${firstOf(args)} is removed, with every login.`)
}

export async function code({ io, args, options }: Call<JsonOption>): Promise<void> {
  const offered = await io.client().call('POST /login-codes', {}, { person: firstOf(args) })
  if (options.json === true) return printJson(io, offered)
  printLine(io, offered.link ?? offered.code)
  note(io, `Good once, until ${moment(offered.expiresAt)}: for a browser, or for keyward login --server URL.`)
}

export async function list({ io, options }: Call<JsonOption>): Promise<void> {
  const people = await io.client().call('GET /people', {}, {})
  if (options.json === true) return printJson(io, people)
  const rows = people.map(({ name, role, groups, logins, createdAt }) => [
    name,
    role,
    groups.includes('*') ? 'everything' : groups.join(', '),
    String(logins),
    moment(createdAt),
  ])
  printTable(io, ['name', 'role', 'about', 'logins', 'since'], rows, 'Nobody but the owner of the home.')
}

export async function logins({ io, options }: Call<JsonOption>): Promise<void> {
  const open = await io.client().call('GET /logins', {}, {})
  if (options.json === true) return printJson(io, open)
  const rows = open.map(({ id, name, how, createdAt, expiresAt }) => [
    id,
    name,
    how,
    moment(createdAt),
    moment(expiresAt),
  ])
  printTable(io, ['id', 'name', 'how', 'since', 'until'], rows, 'Nobody is logged in.')
}

export async function end({ io, args }: Call): Promise<void> {
  await io.client().call('DELETE /logins/:id', { id: firstOf(args) }, {})
  printLine(io, 'The login is over.')
}

function groupsOf(group: readonly string[] | undefined): string[] {
  return group === undefined ? ['*'] : [...group]
}

async function idOf(io: Io, name: string): Promise<string> {
  const found = (await io.client().call('GET /people', {}, {})).find((one) => one.name === name)
  if (found === undefined) throw new KeywardError('not_found', 'There is no person of this name.')
  return found.id
}
