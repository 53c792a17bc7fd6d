import { Option } from 'commander'
import type { Command } from 'commander'
import { jsonOption, perform, withOptions } from './declare.ts'
import type { Stage } from './declare.ts'

const opening = (): Option[] => [
  new Option('--identity <file...>', 'a file with the secret key of age that opens it'),
  new Option('--passphrase-file <file>', 'a file with its passphrase'),
]

export function declareBackup(program: Command, stage: Stage): void {
  const load = () => import('../commands/backup.ts')
  const backup = program
    .command('backup')
    .description('one moment of everything in an age file, without the root key; of a running server or a stopped home')
  withOptions(
    backup,
    new Option('--to <path>', 'a file that is not there yet, or a folder; this folder unless given'),
    new Option('--recipient <key...>', 'who may open it: age1…'),
    new Option('--recipients-file <file>', 'a file of such keys'),
    new Option('--passphrase-file <file>', 'a file with a passphrase instead; asked for at a terminal unless given'),
    new Option('--no-journal', 'without the journal'),
    new Option('--keep <count>', 'afterwards only so many of the newest whole ones stay in the folder'),
    new Option('--keep-for <duration>', 'afterwards those that are older go: 90d; the newest whole one stays'),
    jsonOption(),
  )
  perform(backup, stage, async () => (await load()).make)
  perform(
    withOptions(
      backup.command('verify <file>').description('read a backup to its end and check all that is in it'),
      ...opening(),
      jsonOption(),
    ),
    stage,
    async () => (await load()).verify,
  )
}

export function declareRestore(program: Command, stage: Stage): void {
  const restore = program
    .command('restore <file>')
    .description('make an empty home, or with KEYWARD_DATABASE_URL an empty database, what a backup says')
  withOptions(
    restore,
    new Option('--accept-rollback', 'yes, an old state comes back; ends all sessions'),
    ...opening(),
    new Option('--newer-journal <folder>', 'HOME/journal/NODE of what was lost: tells what comes back to life'),
    jsonOption(),
  )
  perform(restore, stage, async () => (await import('../commands/restore.ts')).restore)
}
