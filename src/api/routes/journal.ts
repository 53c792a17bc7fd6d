import { join } from 'node:path'
import { KeywardError } from '../../core/errors.ts'
import { checkpointKey, originOf, verifierKeyOf } from '../../journal/checkpoint.ts'
import type { JournalEntry } from '../../journal/entry.ts'
import { applyPruning, finishPruning, planPruning } from '../../journal/prune.ts'
import { searchJournal } from '../../journal/search.ts'
import { tailJournal } from '../../journal/tail.ts'
import { verifyJournal } from '../../journal/verify.ts'
import { keepPruning, keptJournalHead, keptNodeHeads, keptPruning } from '../../vault/journal-head.ts'
import type { ControlParts, Handlers } from '../parts.ts'
import type { InputRead } from '../schema.ts'

const DEFAULT_TAIL_ENTRIES = 20
const DEFAULT_SEARCH_ENTRIES = 1000

export const journalRoutes: Handlers<'GET /journal/verification' | 'GET /journal/witness' | 'POST /journal/prunes'> = {
  'GET /journal/verification': (parts) => {
    const { publicKey } = parts.vault.journalKey()
    const anchor = keptJournalHead(parts.records, parts.config.node)
    return verifyJournal({
      directory: directoryOf(parts),
      publicKey,
      origin: `keyward/${parts.config.node}`,
      ...(anchor === null ? {} : { anchor }),
      prunedTo: keptPruning(parts.records, parts.config.node),
    })
  },

  'GET /journal/witness': async (parts) => {
    // So that what was written until now is proven to whoever reads the files next.
    await parts.journal.checkpoint()
    const key = checkpointKey(originOf(parts.config.node), parts.vault.journalKey().publicKey)
    return {
      key: verifierKeyOf(key),
      anchor: keptJournalHead(parts.records, parts.config.node),
      heads: keptNodeHeads(parts.records),
      prunedTo: keptPruning(parts.records, parts.config.node),
    }
  },

  'POST /journal/prunes': async (parts, { input, actor }) => {
    const { node } = parts.config
    const directory = directoryOf(parts)
    const place = { directory, publicKey: parts.vault.journalKey().publicKey, origin: originOf(node) }
    await finishPruning(place)
    const { before } = input
    const plan = await planPruning({ ...place, before, known: keptJournalHead(parts.records, node) })
    const from = keptPruning(parts.records, node)
    if (plan === null) return { segments: 0, prunedTo: from }
    if (parts.shipping !== null && parts.shipping.arrived < plan.start.segment - 1)
      throw new KeywardError(
        'prune_refused',
        'Some of these segments have not arrived where KEYWARD_JOURNAL_SHIP says.',
      )
    const { size, root } = plan.checkpoint
    await keepPruning(parts.records, node, { from, head: { size, root }, actor, before })
    await applyPruning(directory, plan)
    return { segments: plan.segments, prunedTo: size }
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
