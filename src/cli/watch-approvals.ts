import { setTimeout as pause } from 'node:timers/promises'
import type { ApprovalSummary } from '../api/answers.ts'
import { requestOf, stateOf } from './commands/approval.ts'
import type { Io } from './io.ts'
import { moment, note, paint, printable, printLine } from './print.ts'

/** How often the server is asked; a question is open for ten minutes. */
const EVERY_MILLISECONDS = 500
const BELL = '\u0007'

/**
 * Prints each question when it is asked, answered, used or withdrawn, until it is interrupted: a line for a person, or
 * a line of JSON. One that is not listed any more is `gone`: it was used, withdrawn, or is too old.
 */
export async function watchApprovals(
  io: Io,
  options: { readonly env?: string; readonly json?: boolean; readonly bell?: boolean },
): Promise<void> {
  const abort = new AbortController()
  const stop = (): void => abort.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  io.stdout.once('error', stop)
  const { env, json } = options
  if (json !== true) note(io, 'Waiting for questions; answer with `keyward approval accept ID` or `refuse ID`.')
  let known = new Map<string, ApprovalSummary>()
  try {
    while (!abort.signal.aborted) {
      const listed = await io.client().call('GET /approvals', {}, env === undefined ? {} : { environment: env })
      const now = new Map(listed.map((one) => [one.id, one]))
      for (const one of listed) {
        const before = known.get(one.id)
        if (before !== undefined && stateOf(before) === stateOf(one)) continue
        print(io, json === true, stateOf(one), one)
        if (options.bell === true && one.state === 'pending' && io.stderr.isTTY === true) io.stderr.write(BELL)
      }
      for (const [id, one] of known) if (!now.has(id)) print(io, json === true, 'gone', one)
      known = now
      await pause(EVERY_MILLISECONDS, undefined, { signal: abort.signal })
    }
  } catch (error) {
    if (!abort.signal.aborted) throw error
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
}

const styles = { waits: 'yellow', pending: 'yellow', accepted: 'green', refused: 'red' } as const

function print(io: Io, asJson: boolean, state: string, one: ApprovalSummary): void {
  if (asJson) return printLine(io, JSON.stringify({ ...one, event: state }))
  const style = Object.entries(styles).find(([name]) => name === state)?.[1] ?? 'dim'
  const parts = [
    moment(state === 'waits' || state === 'pending' ? one.askedAt : Date.now()),
    paint(io, io.stdout, style, state.padEnd(8)),
    one.id,
    `${printable(one.agent)} in ${printable(one.environment)}`,
    printable(one.credential),
    ...(one.destructive ? [paint(io, io.stdout, 'bold', 'destructive')] : []),
    printable(requestOf(one)),
  ]
  printLine(io, parts.join('  '))
}
