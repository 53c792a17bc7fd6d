import { join } from 'node:path'
import { checkpointKey, originOf, verifierKeyOf } from '../../journal/checkpoint.ts'
import type { JournalEntry } from '../../journal/entry.ts'
import { searchJournal } from '../../journal/search.ts'
import { tailJournal } from '../../journal/tail.ts'
import { verifyJournal } from '../../journal/verify.ts'
import { keptJournalHead } from '../../vault/journal-head.ts'
import type { ControlParts, Handlers } from '../parts.ts'
import type { InputRead } from '../schema.ts'

const DEFAULT_TAIL_ENTRIES = 20
const DEFAULT_SEARCH_ENTRIES = 1000

export const journalRoutes: Handlers<'GET /journal/verification' | 'GET /journal/witness'> = {
  'GET /journal/verification': (parts) => {
    const { publicKey } = parts.vault.journalKey()
    const anchor = keptJournalHead(parts.records, parts.config.node)
    return verifyJournal({
      directory: directoryOf(parts),
      publicKey,
      origin: `keyward/${parts.config.node}`,
      ...(anchor === null ? {} : { anchor }),
    })
  },

  'GET /journal/witness': async (parts) => {
    // So that what was written until now is proven to whoever reads the files next.
    await parts.journal.checkpoint()
    const key = checkpointKey(originOf(parts.config.node), parts.vault.journalKey().publicKey)
    return { key: verifierKeyOf(key), anchor: keptJournalHead(parts.records, parts.config.node) }
  },
}

/** Entries as JSON lines: the last ones, oldest first, or, with a `text`, those in which it occurs, newest first. */
export function streamJournal(parts: ControlParts, input: InputRead<'GET /journal'>, signal: AbortSignal): Response {
  const directory = directoryOf(parts)
  const kind = input.kind === undefined ? {} : { kind: input.kind }
  const entries =
    input.order === 'newest'
      ? searchJournal({
          directory,
          ...kind,
          limit: input.last ?? DEFAULT_SEARCH_ENTRIES,
          ...(input.text === undefined ? {} : { text: input.text }),
        })
      : tailJournal({
          directory,
          ...kind,
          count: input.last ?? DEFAULT_TAIL_ENTRIES,
          follow: input.follow === 'yes',
          signal,
          ...(input.text === undefined ? {} : { text: input.text }),
        })
  return new Response(linesOf(entries), {
    headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' },
  })
}

function directoryOf(parts: ControlParts): string {
  return join(parts.journalDirectory, parts.config.node)
}

function linesOf(entries: AsyncGenerator<JournalEntry>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream({
    async pull(controller) {
      const next = await entries.next()
      if (next.done === true) controller.close()
      else controller.enqueue(encoder.encode(`${JSON.stringify(next.value)}\n`))
    },
    async cancel() {
      await entries.return(undefined)
    },
  })
}
