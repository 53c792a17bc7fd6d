import { Option } from 'commander'
import type { Command } from 'commander'
import { roles } from '../../identity/people.ts'
import { jsonOption, perform, withOptions } from './declare.ts'
import type { Stage } from './declare.ts'

const roleOption = (): Option =>
  new Option('--role <role>', 'what this person may do').choices(roles).makeOptionMandatory()
const groupOption = (): Option =>
  new Option('--group <owner...>', 'only with what these own, and what is this person’s own; everything unless given')

export function declarePeople(program: Command, stage: Stage): void {
  const load = () => import('../commands/login.ts')
  const login = program
    .command('login')
    .description('log in on the server that --server names; without it, print a link for a browser on this machine')
  withOptions(
    login,
    new Option('--ca-file <file>', 'trust these authorities for it (PEM)'),
    new Option('--code', 'log in with a one-time code, and not by the OpenID provider'),
    new Option('--code-stdin', 'read the one-time code from stdin'),
    jsonOption(),
  )
  perform(login, stage, async () => (await load()).login)
  perform(program.command('logout').description('end that login'), stage, async () => (await load()).logout)
  perform(
    withOptions(program.command('whoami').description('who you are there, and what you may do'), jsonOption()),
    stage,
    async () => (await load()).whoami,
  )
  declarePerson(program, stage)
}

function declarePerson(program: Command, stage: Stage): void {
  const noun = program.command('person').description('people, their roles and their logins')
  const load = () => import('../commands/person.ts')
  const add = noun.command('add <name>').description('add a person, by his mail address as a rule')
  perform(withOptions(add, roleOption(), groupOption()), stage, async () => (await load()).add)
  const set = noun.command('set <name>').description('give another role, or other groups')
  perform(withOptions(set, roleOption(), groupOption()), stage, async () => (await load()).set)
  const code = noun.command('code <name>').description('make a code by which this person logs in once')
  perform(withOptions(code, jsonOption()), stage, async () => (await load()).code)
  const list = noun.command('list').description('list people and their roles')
  perform(withOptions(list, jsonOption()), stage, async () => (await load()).list)
  const logins = noun.command('logins').description('list who is logged in')
  perform(withOptions(logins, jsonOption()), stage, async () => (await load()).logins)
  perform(noun.command('end <login>').description('end a login at once'), stage, async () => (await load()).end)
  perform(
    noun.command('remove <name>').description('remove a person, with every login'),
    stage,
    async () => (await load()).remove,
  )
}
