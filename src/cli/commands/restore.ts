import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { readConfig } from '../../config.ts'
import { KeywardError } from '../../core/errors.ts'
import { databaseFile, openStore } from '../../stores/index.ts'
import { removeEmptyDatabase, requireEmpty, restoreBackup } from '../../vault/backup/restore.ts'
import type { Restored } from '../../vault/backup/restore.ts'
import { unseal } from '../../vault/backup/sealed.ts'
import { actorName } from '../actor.ts'
import { openBackupFile } from '../backup/file.ts'
import { openWith } from '../backup/keys.ts'
import type { OpenOptions } from '../backup/keys.ts'
import { showProgress } from '../backup/progress.ts'
import { refuseForeignHome } from '../home-folder.ts'
import { firstOf } from '../io.ts'
import type { Call, Io, JsonOption } from '../io.ts'
import { rootKeyOf } from '../offline.ts'
import { moment, note, printJson, printLine, printPairs } from '../print.ts'
import { pairsOf, summaryOf } from './backup.ts'

interface RestoreOptions extends OpenOptions, JsonOption {
  readonly acceptRollback?: boolean
  readonly newerJournal?: string
}

/** Makes an empty home, or an empty database, what a backup says. */
export async function restore({ io, args, options }: Call<RestoreOptions>): Promise<void> {
  if (options.acceptRollback !== true) throw new KeywardError('rollback_unaccepted')
  if (io.server !== null)
    throw new KeywardError('usage', 'A restore is for a home on this machine: leave --server out.')
  const { config } = readConfig({}, io.environment)
  refuseForeignHome(config.home)
  const keys = await openWith(io, options)
  const rootKey = await rootKeyOf(config)
  const file = await openBackupFile(resolve(io.workingDirectory, firstOf(args)))
  const progress = showProgress(io, 'read')
  const database = databaseFile(config.home)
  const wasThere = existsSync(database)
  try {
    mkdirSync(config.home, { recursive: true, mode: 0o700 })
    const store = await openStore(config)
    let isEmpty = true
    try {
      const place = { home: config.home, node: config.node, store }
      await requireEmpty(place).catch((error: unknown) => {
        isEmpty = false
        throw error
      })
      const done = await restoreBackup({
        source: () => unseal(file.read(), keys),
        keys: { rootKey, now: Date.now, random: randomBytes },
        place,
        actor: actorName(),
        newId: () => randomBytes(16).toString('hex'),
        newer: newerJournal(io, options.newerJournal),
        onPiece: progress.add,
      })
      progress.end()
      tell(io, options, done, { home: config.home, witness: config.witnessFile })
    } finally {
      isEmpty &&= await store.identity().then(
        (identity) => identity === null,
        () => false,
      )
      await store.close()
      if (isEmpty && !wasThere && config.database === null) removeEmptyDatabase(database)
    }
  } finally {
    progress.end()
    await file.close()
  }
}

function newerJournal(io: Io, folder: string | undefined) {
  if (folder === undefined) return null
  const directory = resolve(io.workingDirectory, folder)
  const node = basename(directory)
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(node))
    throw new KeywardError('usage', '--newer-journal is the folder of one node: HOME/journal/NODE.')
  return { directory, node }
}

function tell(
  io: Io,
  options: JsonOption,
  done: Restored,
  { home, witness }: { home: string; witness: string | null },
): void {
  const { contents, undone, sessionsEnded, epoch, manifest, restoration } = done
  if (options.json === true) {
    printJson(io, { home, ...summaryOf(contents), manifest, restoration, epochNow: epoch, sessionsEnded, undone })
    return
  }
  printPairs(io, [
    ['restored', home],
    ['manifest', manifest],
    ...pairsOf(contents),
    ['sessions', `${sessionsEnded} ended`],
  ])
  if (undone === null)
    note(
      io,
      `What was changed after ${moment(contents.madeAt)} is undone, and no newer journal was given (--newer-journal) that could tell what: compare rotated, suspended and removed credentials and agents yourself.`,
    )
  else {
    for (const { kind, name, action, actor, at } of undone.cameBack)
      printLine(io, `as before: ${kind} ${name} (${action} by ${actor} at ${moment(at)} is undone)`)
    if (undone.more) note(io, 'There is more; the newer journal has all of it.')
    if (undone.gone > 0) note(io, `${undone.gone} things that were made later are gone.`)
    if (undone.cameBack.length === 0) note(io, 'The newer journal knows of nothing that came back.')
  }
  if (witness !== null) note(io, `Move ${witness} away before the first start: it remembers heads that are no more.`)
  note(io, 'Next: keyward up. Other nodes of a cluster start once with --accept-rollback.')
}
