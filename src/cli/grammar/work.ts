import { Option } from 'commander'
import type { Command } from 'commander'
import { egressOption, environmentOption, jsonOption, perform, withOptions, certificateOptions } from './declare.ts'
import type { Stage } from './declare.ts'

const configOption = (): Option =>
  new Option('--config <file>', 'the settings file (KEYWARD_CONFIG, else keyward.yaml in the home)')

export function declareServer(program: Command, stage: Stage): void {
  const up = program.command('up').description('start the server; the first start makes the home')
  withOptions(
    up,
    new Option('--home <dir>', 'where Keyward keeps its records (KEYWARD_HOME, else ~/.keyward)'),
    configOption(),
    new Option('--gateway <address>', 'where agents reach the gateway'),
    new Option('--monitor <address>', 'where health, readiness and metrics are told; nowhere unless given'),
    new Option(
      '--listen <address>',
      'where the control API is reached by people and machines elsewhere; nowhere unless given',
    ),
    new Option('--recover', 'open the vault with its recovery key and make a new root key in the place of all others'),
    new Option(
      '--recovery-file <file>',
      'write the recovery key of a new vault there, or read it there with --recover',
    ),
    new Option('--accept-rollback', 'take restored records as they are, once; ends all sessions'),
    new Option('--ephemeral', 'end with the last session').hideHelp(),
    new Option('--sample', 'with a sample service, credential and agent').hideHelp(),
    new Option('--json', 'print errors as JSON').hideHelp(),
  )
  perform(up, stage, async () => (await import('../commands/up.ts')).up)
  perform(
    withOptions(program.command('status').description('what the server of this home is doing'), jsonOption()),
    stage,
    async () => (await import('../commands/status.ts')).status,
  )
  perform(
    program.command('down').description('stop the server of this home'),
    stage,
    async () => (await import('../commands/status.ts')).down,
  )
}

export function declareWork(program: Command, stage: Stage): void {
  const run = program
    .command('run <command...>')
    .usage('[options] -- CMD…')
    .description('run a program that holds placeholders instead of keys')
  run.passThroughOptions()
  withOptions(
    run,
    new Option('--agent <name>', 'who it is; the name of the program unless given'),
    environmentOption(),
    new Option(
      '--contain <boundary>',
      'what it cannot see: files, full (and no network but the gateway) or none',
    ).choices(['files', 'full', 'none']),
    egressOption(),
    new Option(
      '--token-file <file>',
      'log in with the token in this file, and renew with what it holds by then',
    ).conflicts('adopt'),
    ...certificateOptions(),
    new Option('--adopt', 'move keys found in the environment and ./.env into the vault without asking'),
  )
  perform(run, stage, async () => (await import('../commands/run.ts')).run)

  const doctor = program
    .command('doctor')
    .description('try on this machine what a contained program must not be able to do, and say what stands open')
  withOptions(
    doctor,
    new Option('--contain <boundary>', 'only this boundary; files where it can be had unless given').choices([
      'files',
      'full',
      'none',
    ]),
    environmentOption(),
    jsonOption(),
  )
  perform(doctor, stage, async () => (await import('../commands/doctor.ts')).doctor)

  const env = program.command('env').description('print the variables of a session, for programs started otherwise')
  withOptions(
    env,
    new Option('--agent <name>', 'who it is'),
    new Option('--token-file <file>', 'log in with the token in this file'),
    new Option('--enrolment-file <file>', 'log in with a secret of agent enrol'),
    ...certificateOptions(),
    new Option('--narrowed', 'those of a narrowed session, whose token stands in KEYWARD_TOKEN or on stdin').conflicts([
      'agent',
      'egress',
    ]),
    environmentOption(),
    new Option('--ttl <duration>', 'how long the session lives: 15m, 12h').default('1h'),
    egressOption(),
    new Option('--format <format>', 'how they are written').choices(['sh', 'json', 'dotenv']).default('sh'),
  )
  perform(env, stage, async () => (await import('../commands/env.ts')).env)

  const bring = program
    .command('import [file]')
    .description('move keys out of a .env file or shell start-up files into the vault')
  withOptions(
    bring,
    new Option('--shell', 'the start-up files of your shell instead of a file').conflicts('undo'),
    environmentOption(),
    new Option('--undo', 'write the values back into the file'),
    new Option('--yes', 'do not ask'),
  )
  perform(bring, stage, async () => (await import('../commands/import.ts')).bring)
}

export function declarePolicy(program: Command, stage: Stage): void {
  const load = () => import('../commands/apply.ts')
  const apply = program
    .command('apply')
    .description('make environments, services, credentials, agents and grants what files say, all or nothing')
  withOptions(
    apply,
    new Option('-f, --file <path...>', 'files, folders, or - for stdin').makeOptionMandatory(),
    new Option('--dry-run', 'only show what would change; ends with 1 if something would'),
    new Option('--prune', 'remove what files described once and describe no more'),
    new Option('--yes', 'do not ask before something is removed'),
    jsonOption(),
  )
  perform(apply, stage, async () => (await load()).apply)
  perform(
    program.command('export').description('print what is there as files for apply, without any secret'),
    stage,
    async () => (await load()).exportPolicy,
  )
}

export function declareJournal(program: Command, stage: Stage): void {
  const noun = program.command('journal').description('the record of everything that happened')
  const load = () => import('../commands/journal.ts')
  const tail = noun.command('tail').description('the last entries')
  withOptions(
    tail,
    new Option('-n, --lines <count>', 'how many').default('20'),
    new Option('-f, --follow', 'wait for more'),
    jsonOption(),
  )
  perform(tail, stage, async () => (await load()).tail)
  const search = noun.command('search [text]').description('entries in which a text occurs')
  withOptions(
    search,
    new Option('--kind <kind>', 'only entries of this kind'),
    new Option('-n, --lines <count>', 'at most so many').default('1000'),
    jsonOption(),
  )
  perform(search, stage, async () => (await load()).search)
  perform(
    withOptions(
      noun.command('verify').description('check every entry against its chain; works without a server'),
      new Option('--file <file>', 'an export instead of the journal of this home'),
      new Option('--directory <folder>', 'a folder to which journals of several nodes were shipped'),
      new Option('--key <key>', 'the key that it must be signed by; that of this home unless given'),
      jsonOption(),
    ),
    stage,
    async () => (await load()).verify,
  )
  const kinds = [
    'intent',
    'outcome',
    'refusal',
    'control',
    'applied',
    'egress',
    'start',
    'stop',
    'backup',
    'restore',
    'finding',
  ]
  const exporting = noun.command('export').description('entries that a stranger can verify, or OCSF events')
  withOptions(
    exporting,
    new Option('--format <format>', 'the entries as they are, or events of OCSF')
      .choices(['jsonl', 'ocsf'])
      .default('jsonl'),
    new Option('--since <moment>', 'from then on: 2026-01-31, 2026-01-31T12:00:00Z, 7d'),
    new Option('--until <moment>', 'before then'),
    new Option('--kind <kind...>', 'only entries of these kinds').choices(kinds),
    new Option('--to <file>', 'a file that is not there yet, instead of stdout'),
    new Option('--unverified', 'even if the journal does not verify; the output says so'),
  )
  perform(exporting, stage, async () => (await load()).exportTo)
  const pruning = noun.command('prune').description('remove old segments; what is left still verifies')
  withOptions(
    pruning,
    new Option('--before <moment>', 'segments of which every entry is older: 2026-01-31'),
    new Option('--keep <duration>', 'how far back entries stay: 90d'),
    new Option('--yes', 'do not ask'),
    jsonOption(),
  )
  perform(pruning, stage, async () => (await load()).prune)
}

export function declareOwn(program: Command, stage: Stage): void {
  const config = program.command('config').description('settings')
  perform(
    withOptions(
      config.command('show').description('show every setting and where it comes from'),
      configOption(),
      jsonOption(),
    ),
    stage,
    async () => (await import('../commands/config.ts')).show,
  )
  const completion = program.command('completion <shell>').description('print a completion script: bash, zsh or fish')
  perform(completion, stage, async () => (await import('../commands/completion.ts')).completionOf(program))
}
