import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { open, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { readConfig } from '../../config.ts'
import { KeywardError } from '../../core/errors.ts'
import { VERSION } from '../../core/version.ts'
import type { JournalEntry } from '../../journal/entry.ts'
import { formatEntry } from '../../journal/format.ts'
import type { CheckpointKey } from '../../journal/checkpoint.ts'
import type { Cosigned } from '../../journal/remote-witness.ts'
import type { JournalReport } from '../../journal/verify.ts'
import type { JournalHead } from '../../vault/journal-head.ts'
import { askYes } from '../confirm.ts'
import type { EventKind } from '../../journal/event.ts'
import type { Call, Io, JsonOption } from '../io.ts'
import { parseCount, parseDuration, parseMoment } from '../measures.ts'
import { moment, note, printJson, printLine, printPairs } from '../print.ts'

export async function tail({ io, options }: Call<{ lines: string; follow?: boolean } & JsonOption>): Promise<void> {
  const abort = new AbortController()
  const stop = (): void => abort.abort()
  process.once('SIGINT', stop)
  io.stdout.once('error', stop)
  const input = {
    last: String(parseCount(options.lines)),
    ...(options.follow === true ? { follow: 'yes' as const } : {}),
  }
  try {
    for await (const entry of io.client().journal(input, abort.signal)) {
      printLine(io, options.json === true ? JSON.stringify(entry) : formatEntry(entry))
    }
  } catch (error) {
    if (!abort.signal.aborted) throw error
  } finally {
    process.off('SIGINT', stop)
  }
}

export async function search({
  io,
  args,
  options,
}: Call<{ kind?: EventKind; lines: string } & JsonOption>): Promise<number> {
  const [text] = args
  let found = 0
  const input = {
    order: 'newest' as const,
    last: String(parseCount(options.lines)),
    ...(text === undefined ? {} : { text }),
    ...(options.kind === undefined ? {} : { kind: options.kind }),
  }
  for await (const entry of io.client().journal(input)) {
    found += 1
    printLine(io, options.json === true ? JSON.stringify(entry) : formatEntry(entry))
  }
  return found > 0 ? 0 : 1
}

/** Reads the files itself; what it verifies them with comes from the server where one runs, and from the vault where none does. */
export async function verify({
  io,
  options,
}: Call<{ file?: string; directory?: string; key?: string } & JsonOption>): Promise<number> {
  if (options.directory !== undefined) return verifyShipped(io, { ...options, directory: options.directory })
  if (options.file !== undefined) return verifyFile(io, options.file, options.key, options.json === true)
  const { verifyJournal } = await import('../../journal/verify.ts')
  const { directory, witness, cosigned } = await witnessed(io)
  const report = await verifyJournal({ directory, ...witness })
  if (options.json === true) printJson(io, { ...report, cosigned })
  else printReport(io, report, cosigned)
  return report.ok ? 0 : 1
}

/** Journals of nodes side by side: each by itself, then what is known elsewhere of nodes that are not there. */
async function verifyShipped(
  io: Io,
  options: { readonly directory: string; readonly key?: string } & JsonOption,
): Promise<number> {
  const [{ parseVerifierKey, originOf }, { verifyJournal }, { shippedNodes }] = await Promise.all([
    import('../../journal/checkpoint.ts'),
    import('../../journal/verify.ts'),
    import('../../journal/ship.ts'),
  ])
  const own = options.key === undefined ? await witnessed(io) : null
  const key = own?.key ?? parseVerifierKey(options.key ?? '')
  if (key === undefined) throw new KeywardError('usage', 'The key is written keyward/NODE+ID+BASE64.')
  const folder = resolve(io.workingDirectory, options.directory)
  const heads = own?.heads ?? []
  const reports: { node: string; report: JournalReport; kept: number | null }[] = []
  for (const node of await shippedNodes(folder)) {
    const head = heads.find((one) => one.node === node)
    const report = await verifyJournal({
      directory: join(folder, node),
      publicKey: key.publicKey,
      origin: originOf(node),
      ...(head === undefined ? {} : { prunedTo: head.prunedTo }),
    })
    reports.push({ node, report, kept: head?.size ?? null })
  }
  const missing = heads.filter(({ node }) => !reports.some((one) => one.node === node))
  const isWhole = reports.length > 0 && reports.every(({ report }) => report.ok) && missing.length === 0
  if (options.json === true) printJson(io, { ok: isWhole, nodes: reports, missing })
  else {
    for (const { node, report, kept } of reports) {
      printLine(io, `node ${node}`)
      printReport(io, report, null)
      if (kept !== null && kept > report.entries)
        printLine(io, `entries ${report.entries + 1} to ${kept} of ${node} are known to the store and have not arrived`)
    }
    for (const { node, size } of missing)
      printLine(io, `node ${node} is missing: the store knows of its entries 1 to ${size}`)
    if (reports.length === 0) printLine(io, 'There is no journal of any node here.')
  }
  return isWhole ? 0 : 1
}

async function verifyFile(io: Io, file: string, keyText: string | undefined, json: boolean): Promise<number> {
  const [{ parseVerifierKey }, { verifyExport }] = await Promise.all([
    import('../../journal/checkpoint.ts'),
    import('../../journal/verify-export.ts'),
  ])
  const key = keyText === undefined ? (await witnessed(io)).key : parseVerifierKey(keyText)
  if (key === undefined) throw new KeywardError('usage', 'The key is written keyward/NODE+ID+BASE64.')
  const report = await verifyExport(resolve(io.workingDirectory, file), key)
  if (json) printJson(io, report)
  else {
    printPairs(io, [
      ['export', report.ok ? 'sound' : 'not sound'],
      ['journal', report.origin],
      ['proven', `${report.proven} of ${report.entries} entries; ${report.omitted} between them were left out`],
      ...(report.problem === null
        ? []
        : [['problem', `line ${report.problem.line}: ${report.problem.detail}`] as const]),
    ])
  }
  return report.ok ? 0 : 1
}

/** Where the journal of this home lies, and what verifies it. */
async function witnessed(io: Io) {
  const { config } = readConfig({}, io.environment)
  const directory = join(config.home, 'journal', config.node)
  const [{ checkpointKey, originOf, parseVerifierKey }, { journalWitness }, { lastWitnessed }] = await Promise.all([
    import('../../journal/checkpoint.ts'),
    import('../offline.ts'),
    import('../../journal/witness.ts'),
  ])
  const [{ parseWitnessKey }, { readCosigned }] = await Promise.all([
    import('../../journal/cosignature.ts'),
    import('../../journal/remote-witness.ts'),
  ])
  const seenBy = async (kept: JournalHead | null, key: CheckpointKey) => {
    const seen = config.witnessFile === null ? null : await lastWitnessed(config.witnessFile, key)
    const anchor = seen !== null && seen.size >= (kept?.size ?? 0) ? seen : kept
    return anchor === null ? {} : { anchor: { size: anchor.size, root: anchor.root } }
  }
  const cosignedBy = (key: CheckpointKey): Cosigned | null => {
    const witness = config.witnessKey === null ? undefined : parseWitnessKey(config.witnessKey)
    return witness === undefined ? null : readCosigned(directory, key, witness)
  }
  const view = await io
    .client()
    .call('GET /journal/witness', {}, {})
    .catch((error: unknown) => {
      if (error instanceof KeywardError && error.code === 'server_unreachable') return null
      throw error
    })
  if (view === null) {
    const witness = await journalWitness(config)
    const key = checkpointKey(originOf(config.node), witness.publicKey)
    return {
      directory,
      key,
      cosigned: cosignedBy(key),
      heads: witness.heads,
      witness: { ...witness, origin: key.origin, ...(await seenBy(witness.anchor ?? null, key)) },
    }
  }
  const key = parseVerifierKey(view.key)
  if (key === undefined) throw new KeywardError('internal', 'The server gave no key.')
  const anchor = await seenBy(view.anchor, key)
  return {
    directory,
    key,
    cosigned: cosignedBy(key),
    heads: view.heads,
    witness: { publicKey: key.publicKey, origin: key.origin, prunedTo: view.prunedTo, ...anchor },
  }
}

type ExportOf = {
  format: 'jsonl' | 'ocsf'
  since?: string
  until?: string
  kind?: EventKind[]
  to?: string
  unverified?: boolean
}

/** Writes the entries to a new file, or to stdout, after the whole journal was verified. */
export async function exportTo({ io, options }: Call<ExportOf>): Promise<number> {
  const [{ verifyJournal }, { exportEntries, exportLines }, { verifierKeyOf }] = await Promise.all([
    import('../../journal/verify.ts'),
    import('../../journal/export.ts'),
    import('../../journal/checkpoint.ts'),
  ])
  const since = options.since === undefined ? {} : { since: parseMoment(options.since, Date.now()) }
  const until = options.until === undefined ? {} : { until: parseMoment(options.until, Date.now()) }
  const kind = options.kind === undefined ? {} : { kind: options.kind }
  const { directory, key, witness } = await witnessed(io)
  const report = await verifyJournal({ directory, ...witness })
  const wanted = {
    directory,
    publicKey: key.publicKey,
    origin: key.origin,
    report,
    filter: { ...since, ...until, ...kind },
    unverified: options.unverified === true,
  }
  const bytes =
    options.format === 'ocsf'
      ? ocsfLines(exportEntries(wanted), { origin: key.origin, verified: report.ok })
      : exportLines(wanted)
  await writeAll(io, bytes, options.to)
  note(
    io,
    report.ok
      ? `Verified: proven up to entry ${report.provenTo} of ${report.entries}, by ${verifierKeyOf(key)}`
      : 'NOT VERIFIED: the journal is damaged, and what was exported proves nothing.',
  )
  return 0
}

async function* ocsfLines(
  entries: AsyncIterable<JournalEntry>,
  source: { origin: string; verified: boolean },
): AsyncGenerator<Buffer> {
  const { ocsfEvent } = await import('../../journal/ocsf.ts')
  for await (const entry of entries)
    yield Buffer.from(`${JSON.stringify(ocsfEvent(entry, { ...source, version: VERSION }))}\n`)
}

/** A file that was not there before is taken away again where it could not be finished. */
async function writeAll(io: Io, bytes: AsyncIterable<Buffer>, to: string | undefined): Promise<void> {
  if (to === undefined) {
    for await (const piece of gathered(bytes)) if (!io.stdout.write(piece)) await once(io.stdout, 'drain')
    return
  }
  const path = resolve(io.workingDirectory, to)
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    throw new KeywardError('usage', 'The file of --to is there already, or cannot be made.', { cause: error })
  })
  try {
    for await (const piece of gathered(bytes)) await file.write(piece)
    await file.sync()
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

const GATHERED_BYTES = 64 * 1024

/** Fewer and larger pieces: one write for many lines. */
async function* gathered(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = []
  let size = 0
  for await (const piece of bytes) {
    pieces.push(piece)
    size += piece.length
    if (size < GATHERED_BYTES) continue
    yield Buffer.concat(pieces)
    pieces = []
    size = 0
  }
  if (size > 0) yield Buffer.concat(pieces)
}

/** Takes old segments away; the server does it, for it holds the journal and the store. */
export async function prune({ io, options }: Call<{ before?: string; keep?: string; yes?: boolean } & JsonOption>) {
  const { before, keep } = options
  if ((before === undefined) === (keep === undefined)) throw new KeywardError('usage', 'Give --before or --keep.')
  const moment = before === undefined ? Date.now() - parseDuration(keep ?? '') * 1000 : parseMoment(before, Date.now())
  const day = new Date(moment).toISOString()
  if (options.yes !== true && !(await askYes(io, `Remove the journal before ${day} for good?`))) return 1
  const done = await io.client().call('POST /journal/prunes', {}, { before: moment })
  if (options.json === true) printJson(io, done)
  else if (done.segments === 0) note(io, 'No segment is that old as a whole; nothing was removed.')
  else printLine(io, `${done.segments} segments removed. Entries 1 to ${done.prunedTo} pruned, proven by checkpoint.`)
  return 0
}

function printReport(io: Io, report: JournalReport, cosigned: Cosigned | null): void {
  const { problem, tornTail } = report
  printPairs(io, [
    ['journal', report.ok ? 'sound' : 'damaged'],
    ['proven', `up to entry ${report.provenTo} of ${report.entries}`],
    ...(report.prunedTo === 0 ? [] : [['pruned', `entries 1 to ${report.prunedTo}, proven by checkpoint`] as const]),
    ...(cosigned === null
      ? []
      : [
          [
            'witness',
            `${cosigned.witness} signed up to entry ${cosigned.size}, ${moment(cosigned.at * 1000)}`,
          ] as const,
        ]),
    ['last entry', moment(report.lastAt)],
    ['root', report.root],
    ...(tornTail === null
      ? []
      : [
          [
            'unfinished',
            `${tornTail.bytes} bytes at the end of ${tornTail.file}, as a sudden stop leaves them`,
          ] as const,
        ]),
    ...(problem === null
      ? []
      : [['problem', `${problem.code} at entry ${problem.sequence} in ${problem.file}: ${problem.detail}`] as const]),
  ])
}
