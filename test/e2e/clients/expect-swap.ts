import { expect } from 'vitest'
import type { FakeVendor } from '../../fakes/vendor.ts'
import { leaksIn, readings } from './leaks.ts'
import type { ClientRun, Stage, VendorName } from './stage.ts'

/** How far vendor and journal had come before a client ran. */
export interface Mark {
  readonly seen: number
  readonly entries: number
}

export async function mark(stage: Stage, vendor: VendorName): Promise<Mark> {
  return { seen: stage.vendors[vendor].seen.length, entries: (await stage.journal()).length }
}

/**
 * What must hold after every client: it succeeded, the vendor saw the real key and no other, no secret
 * is in anything that the client could see, and the journal tells of each request that arrived.
 */
export async function expectSwap(stage: Stage, vendor: VendorName, run: ClientRun, before: Mark): Promise<void> {
  expect(run.code, run.stdout + run.stderr).toBe(0)
  const seen = stage.vendors[vendor].seen.slice(before.seen)
  expect(seen.length).toBeGreaterThan(0)
  expect(seen.filter((each) => each.presented !== stage.keys[vendor]).map((each) => each.target)).toEqual([])
  expectNoLeak(stage, run)
  const entries = (await stage.journal()).slice(before.entries).map((entry) => JSON.stringify(entry))
  const intents = entries.filter(
    (entry) => entry.includes('"kind":"intent"') && entry.includes(`"service":"${vendor}"`),
  )
  expect(intents.length).toBe(seen.length)
  expect(leaksIn(Buffer.from(entries.join('\n')), stage.keys)).toEqual([])
}

export function expectNoLeak(stage: Stage, run: ClientRun): void {
  expect(leaksIn(Buffer.from(run.stdout), stage.keys), 'output').toEqual([])
  expect(leaksIn(Buffer.from(run.stderr), stage.keys), 'error output').toEqual([])
  expect(leaksIn(Buffer.from(JSON.stringify(run.variables)), stage.keys), 'variables').toEqual([])
  expect(run.readable.length).toBeGreaterThan(0)
  expect(leaksIn(run.readable, stage.keys), 'files and processes').toEqual([])
  for (const received of run.received.flatMap(readings)) expect(leaksIn(received, stage.keys), 'received').toEqual([])
}

/** A recorded run must have recorded something, or it proves nothing. */
export function expectRecorded(run: ClientRun): void {
  expect(Buffer.concat(run.received).length).toBeGreaterThan(0)
  expect(Buffer.concat(run.received).toString('latin1')).toContain('HTTP/1.1 200')
}

/** That the search finds what a vendor really sent, so that finding nothing elsewhere means something. */
export function expectLeakIsFound(vendor: FakeVendor, keys: Stage['keys']): void {
  expect(readings(vendor.sent()).flatMap((each) => leaksIn(each, keys))).not.toEqual([])
}
