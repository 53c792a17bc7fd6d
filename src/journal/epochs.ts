import { searchJournal } from './search.ts'

/** The newest epochs of the store of which the journal knows; null where it knows none. */
export interface LastEpochs {
  readonly lastApplied: number | null
  readonly lastIntent: number | null
}

/** What another node has committed (`followed`) counts as applied: it was in the store. A `start` or `stop` entry carries the epoch at which the store stood then, so that the search ends at the newest of them. */
export async function lastEpochs(directory: string): Promise<LastEpochs> {
  let lastApplied: number | null = null
  let lastIntent: number | null = null
  for await (const { event } of searchJournal({
    directory,
    kind: ['applied', 'followed', 'control', 'start', 'stop'],
  })) {
    const { epoch } = event
    if (typeof epoch !== 'number') continue
    if (event.kind !== 'control') lastApplied ??= epoch
    if (event.kind !== 'applied' && event.kind !== 'followed') lastIntent ??= epoch
    if (lastApplied !== null && lastIntent !== null) break
  }
  return { lastApplied, lastIntent }
}

/** The last restoration of the store of which this journal knows, by its id; null where it knows of none. May read far back. */
export async function lastRestoration(directory: string): Promise<string | null> {
  for await (const { event } of searchJournal({ directory, kind: ['start', 'stop', 'restore'], limit: 1 }))
    return typeof event['restoration'] === 'string' ? event['restoration'] : null
  return null
}
