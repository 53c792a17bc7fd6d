import { join } from 'node:path'
import { readConfig } from '../../config.ts'
import { KeywardError } from '../../core/errors.ts'
import { formatEntry } from '../../journal/format.ts'
import type { JournalReport } from '../../journal/verify.ts'
import type { Call, Io, JsonOption } from '../io.ts'
import { parseCount } from '../measures.ts'
import { moment, printJson, printLine, printPairs } from '../print.ts'

type Kind =
  | 'intent'
  | 'outcome'
  | 'refusal'
  | 'control'
  | 'applied'
  | 'followed'
  | 'egress'
  | 'start'
  | 'stop'
  | 'finding'

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
}: Call<{ kind?: Kind; lines: string } & JsonOption>): Promise<number> {
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

/** Asks the server where one runs, for it holds the store; reads the files itself where none does. */
export async function verify({ io, options }: Call<JsonOption>): Promise<number> {
  const report = await reportOf(io)
  if (options.json === true) printJson(io, report)
  else printReport(io, report)
  return report.ok ? 0 : 1
}

async function reportOf(io: Io): Promise<JournalReport> {
  try {
    return await io.client().call('GET /journal/verification', {}, {})
  } catch (error) {
    if (!(error instanceof KeywardError) || error.code !== 'server_unreachable') throw error
  }
  const { config } = readConfig({}, io.environment)
  const [{ journalWitness }, { verifyJournal }] = await Promise.all([
    import('../offline.ts'),
    import('../../journal/verify.ts'),
  ])
  return verifyJournal({
    directory: join(config.home, 'journal', config.node),
    ...(await journalWitness(config)),
    origin: `keyward/${config.node}`,
  })
}

function printReport(io: Io, report: JournalReport): void {
  const { problem, tornTail } = report
  printPairs(io, [
    ['journal', report.ok ? 'sound' : 'damaged'],
    ['proven', `up to entry ${report.provenTo} of ${report.entries}`],
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
