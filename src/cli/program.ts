import { Command, Option } from 'commander'
import { declarePeople } from './grammar/people.ts'
import type { Stage } from './grammar/declare.ts'
import {
  declareAgent,
  declareNode,
  declareApproval,
  declareCredential,
  declareGrant,
  declareService,
  declareSession,
} from './grammar/records.ts'
import { declareVault } from './grammar/vault.ts'
import { declareBackup, declareRestore } from './grammar/backup.ts'
import { declareJournal, declareOwn, declarePolicy, declareServer, declareWork } from './grammar/work.ts'

/** The whole command tree. Completion and `docs/guide/commands.md` are made from it. */
export function createProgram(stage: Stage, version: string): Command {
  const program = new Command('keyward')
    .description('Keeps API keys out of AI agents: the agent holds a placeholder, the gateway puts the key in.')
    .version(version)
    .enablePositionalOptions()
    .showSuggestionAfterError(true)
  declareServer(program, stage)
  declareWork(program, stage)
  declarePolicy(program, stage)
  declareService(program, stage)
  declareCredential(program, stage)
  declareAgent(program, stage)
  declareNode(program, stage)
  declareGrant(program, stage)
  declareSession(program, stage)
  declareApproval(program, stage)
  declarePeople(program, stage)
  declareJournal(program, stage)
  declareVault(program, stage)
  declareBackup(program, stage)
  declareRestore(program, stage)
  declareOwn(program, stage)
  takeServer(program)
  settle(program, stage)
  return program
}

/** What works on this machine, and asks no server elsewhere. */
const atHome: ReadonlySet<string> = new Set([
  'up',
  'down',
  'doctor',
  'import',
  'config',
  'completion',
  'backup',
  'restore',
  'narrow',
  'verify',
  'export',
])

function takeServer(parent: Command): void {
  for (const command of parent.commands) {
    if (atHome.has(command.name())) continue
    if (command.commands.length === 0)
      command.addOption(new Option('--server <url>', 'the server elsewhere that is asked (KEYWARD_SERVER)'))
    takeServer(command)
  }
}

/** Every command throws instead of ending the process, and writes where the stage says. */
function settle(command: Command, stage: Stage): void {
  command.exitOverride()
  command.configureOutput({
    writeOut: (text) => stage.stdout.write(text),
    writeErr: (text) => stage.stderr.write(text),
    outputError: () => {},
  })
  for (const child of command.commands) settle(child, stage)
}
