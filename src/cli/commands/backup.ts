import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { readConfig } from '../../config.ts'
import { KeywardError } from '../../core/errors.ts'
import { inspectBackup } from '../../vault/backup/inspect.ts'
import type { BackupContents } from '../../vault/backup/contents.ts'
import { sealer, unseal } from '../../vault/backup/sealed.ts'
import { openBackupFile, targetOf, writeBeside } from '../backup/file.ts'
import { openWith, sealFor } from '../backup/keys.ts'
import type { OpenOptions, SealOptions } from '../backup/keys.ts'
import { showProgress } from '../backup/progress.ts'
import { candidatesIn, retain } from '../backup/retention.ts'
import type { Kept } from '../backup/retention.ts'
import { openBackupSource } from '../backup/source.ts'
import type { BackupSource } from '../backup/source.ts'
import { watched } from '../backup/watched.ts'
import { firstOf } from '../io.ts'
import type { Call, Io, JsonOption } from '../io.ts'
import { parseCount, parseDuration } from '../measures.ts'
import { rootKeyOf } from '../offline.ts'
import { moment, note, printJson, printLine, printPairs } from '../print.ts'

interface MakeOptions extends SealOptions, JsonOption {
  readonly to?: string
  readonly journal: boolean
  readonly keep?: string
  readonly keepFor?: string
}

const KEYS_CHANGED =
  'It opens with the root keys of then, and ways in or sealing keys were added since: where one of those was retired because others may have it, destroy this backup too.'

/** Makes a backup, encrypted here and whole before it has its name; then removes old ones where that is asked for. */
export async function make({ io, options }: Call<MakeOptions>): Promise<void> {
  const target = targetOf(io.workingDirectory, options.to)
  const retention = {
    keep: options.keep === undefined ? null : parseCount(options.keep),
    keepMilliseconds: options.keepFor === undefined ? null : parseDuration(options.keepFor) * 1000,
  }
  const retains = retention.keep !== null || retention.keepMilliseconds !== null
  if (retains && target.file !== null)
    throw new KeywardError('usage', '--keep and --keep-for are for a folder of backups: give one with --to.')
  const seal = sealer(await sealFor(io, options))
  const source = await openBackupSource(io)
  const progress = showProgress(io, 'written')
  try {
    const { id, bytes } = await source.make(options.journal)
    // What arrived is read like any other backup before it counts as one.
    const passing = watched(bytes, (copy) => inspectBackup(copy, null, progress.add))
    const written = await writeBeside(target.folder, await seal(passing.bytes), interrupted(bytes))
    const { contents } = await passing.seen
    const file = { sha256: written.sha256, bytes: written.bytes }
    let path = target.file
    try {
      if (path !== null) await written.publish(path)
      const name = await source.keep(id, file)
      if (path === null) await written.publish((path = join(target.folder, name)))
    } catch (error) {
      await written.discard()
      throw error
    }
    progress.end()
    const kept = retains ? await tidy(source, target.folder, retention) : null
    tell(io, options, { path, ...file, contents, kept })
  } finally {
    progress.end()
    await source.close()
  }
}

/** Ends the backup where it is, so that nothing of it stays. */
function interrupted(bytes: AsyncGenerator<Buffer>): AbortSignal {
  const abort = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      abort.abort(new KeywardError('backup_unwritten', `It was ended by ${signal}.`))
      void bytes.return(undefined)
    })
  return abort.signal
}

type Tidied = Kept & { readonly keysChangedAt: number }

async function tidy(source: BackupSource, folder: string, retention: Parameters<typeof retain>[2]): Promise<Tidied> {
  const names = candidatesIn(folder).toSorted().slice(-NAMES_AT_ONCE)
  const { known, keysChangedAt } = await source.recognise(names)
  return { ...(await retain(folder, known, retention, Date.now())), keysChangedAt }
}

/** The newest of the names in one folder, which carry their time. */
const NAMES_AT_ONCE = 4_000

function tell(
  io: Io,
  options: JsonOption,
  done: { path: string; sha256: string; bytes: number; contents: BackupContents; kept: Tidied | null },
): void {
  const { path, sha256, bytes, contents, kept } = done
  const old = kept === null ? [] : kept.kept.filter(({ madeAt }) => madeAt < kept.keysChangedAt).map(({ name }) => name)
  if (options.json === true) {
    const folder =
      kept === null
        ? {}
        : { kept: kept.kept.map(({ name }) => name), removed: kept.removed, damaged: kept.damaged, olderKeys: old }
    printJson(io, { file: path, sha256, bytes, ...summaryOf(contents), ...folder })
    return
  }
  printPairs(io, [['backup', path], ['sha256', sha256], ['bytes', String(bytes)], ...pairsOf(contents)])
  for (const name of kept?.removed ?? []) printLine(io, `removed ${name}`)
  for (const name of kept?.damaged ?? []) note(io, `DAMAGED, and counted as none: ${name}`)
  for (const name of old) note(io, `${name}: ${KEYS_CHANGED}`)
}

/** Reads a backup to its end, and everything in it; the records' MACs need the root key of the home that made it. */
export async function verify({ io, args, options }: Call<OpenOptions & JsonOption>): Promise<void> {
  const keys = await openWith(io, options)
  const file = await openBackupFile(resolve(io.workingDirectory, firstOf(args)))
  const progress = showProgress(io, 'read')
  try {
    const { config } = readConfig({}, io.environment)
    const isKeyHere = config.rootKey.kind !== 'file' || existsSync(config.rootKey.path)
    const rootKey = isKeyHere ? await rootKeyOf(config) : null
    const opening = rootKey === null ? null : { rootKey, now: Date.now, random: randomBytes }
    const hash = createHash('sha256')
    const { contents, manifest, held } = await inspectBackup(
      unseal(hashed(file.read(), hash), keys),
      opening,
      progress.add,
    )
    progress.end()
    const proven = held !== null
    const sha256 = hash.digest('hex')
    const older = await isOlderThanKeys(io, contents)
    if (options.json === true) {
      printJson(io, { whole: true, proven, sha256, manifest, ...summaryOf(contents), olderKeys: older })
      return
    }
    printPairs(io, [
      [
        'backup',
        proven ? 'whole, and made by the home of this root key' : 'whole; whether its home made it cannot be told',
      ],
      ['sha256', sha256],
      ['manifest', manifest],
      ...pairsOf(contents),
    ])
    if (!proven) note(io, `There is no root key in ${config.rootKeyFile}: no record's MAC was checked.`)
    if (older === true) note(io, KEYS_CHANGED)
  } finally {
    progress.end()
    await file.close()
  }
}

async function* hashed(bytes: AsyncIterable<Buffer>, hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  for await (const piece of bytes) {
    hash.update(piece)
    yield piece
  }
}

/** Null where the home that made it does not run here, so that nobody can tell. */
async function isOlderThanKeys(io: Io, { storeId, madeAt }: BackupContents): Promise<boolean | null> {
  try {
    const now = await io.client().call('POST /backups/names', {}, { names: [] })
    return now.storeId === storeId ? madeAt < now.keysChangedAt : null
  } catch {
    return null
  }
}

/** The manifest without its parts, for programs. */
export function summaryOf(contents: BackupContents): Omit<BackupContents, 'parts'> {
  const { id, storeId, schema, epoch, version, node, madeAt, rows, heads } = contents
  return { id, storeId, schema, epoch, version, node, madeAt, rows, heads }
}

export function pairsOf(contents: BackupContents): (readonly [string, string])[] {
  const { madeAt, node, version, epoch, rows, heads } = contents
  return [
    ['made', `${moment(madeAt)} by node ${node}, Keyward ${version}`],
    ['store', `epoch ${epoch}, ${rows} records`],
    ...heads.map(
      (head) => ['journal', `${head.node}: ${head.size} entries${head.inside ? '' : ', not in the backup'}`] as const,
    ),
  ]
}
