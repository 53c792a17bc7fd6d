import { generateKeyPairSync } from 'node:crypto'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JournalEvent } from './event.ts'
import { formatEntry } from './format.ts'
import { openJournal } from './journal.ts'
import type { Journal } from './journal.ts'
import { searchJournal } from './search.ts'
import type { SearchOptions } from './search.ts'
import { tailJournal } from './tail.ts'
import type { TailOptions } from './tail.ts'

let directory: string
let journal: Journal
let clock = 0

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'keyward-journal-'))
  clock = 1000
  journal = await openJournal({
    directory,
    node: 'n',
    ...generateKeyPairSync('ed25519'),
    now: () => clock,
    segmentBytes: 3000,
  })
})

afterEach(async () => {
  await journal.close()
  rmSync(directory, { recursive: true })
})

async function write(...events: JournalEvent[]): Promise<void> {
  for (const event of events) {
    await journal.append(event)
    clock += 1000
  }
}

const many = (count: number, from = 0): JournalEvent[] =>
  Array.from({ length: count }, (_, index) => ({
    kind: 'intent',
    agent: (from + index) % 2 === 0 ? 'even' : 'odd',
    number: from + index,
  }))

async function search(options: Omit<SearchOptions, 'directory'>): Promise<number[]> {
  const found = []
  for await (const { sequence } of searchJournal({ directory, ...options })) found.push(sequence)
  return found
}

async function tail(options: Omit<TailOptions, 'directory'>): Promise<number[]> {
  const found: number[] = []
  for await (const { sequence } of tailJournal({ directory, ...options })) found.push(sequence)
  return found
}

describe('search', () => {
  it('gives the newest first, or the oldest, across segments', async () => {
    await write(...many(40))
    expect(await search({})).toEqual(Array.from({ length: 40 }, (_, index) => 40 - index))
    expect(await search({ order: 'oldest', limit: 3 })).toEqual([1, 2, 3])
    expect(await search({ limit: 2 })).toEqual([40, 39])
    expect(await search({ limit: 0 })).toEqual([])
  })

  it('filters by time, kind, members and text', async () => {
    await write(
      {
        kind: 'intent',
        agent: 'triage',
        environment: 'prod',
        credential: 'openai',
        service: 'openai',
        session: 's1',
        decision: 'allow',
      },
      { kind: 'refusal', agent: 'triage', environment: 'dev', decision: 'deny', code: 'grant_missing' },
      { kind: 'control', actor: 'Olga "root" Ünal', detail: { agent: 'triage', list: ['Nested'] } },
    )
    expect(await search({ kind: 'refusal' })).toEqual([2])
    expect(await search({ kind: ['refusal', 'control'] })).toEqual([3, 2])
    expect(await search({ agent: 'triage' })).toEqual([2, 1])
    expect(
      await search({
        agent: 'triage',
        environment: 'prod',
        credential: 'openai',
        service: 'openai',
        session: 's1',
        decision: 'allow',
      }),
    ).toEqual([1])
    expect(await search({ code: 'grant_missing' })).toEqual([2])
    expect(await search({ agent: 'tri' })).toEqual([])
    expect(await search({ since: 2000 })).toEqual([3, 2])
    expect(await search({ until: 2000 })).toEqual([1])
    for (const text of ['"ROOT"', 'ünal', 'nested']) expect(await search({ text }), text).toEqual([3])
  })

  it('passes over what is no entry', async () => {
    await write(...many(3))
    appendFileSync(join(directory, '00000001.jsonl'), 'hello\n{"at":1}\n{"torn')
    expect(await search({})).toEqual([3, 2, 1])
  })

  it('says when there is no journal', async () => {
    await expect(searchJournal({ directory: join(directory, 'none') }).next()).rejects.toMatchObject({
      code: 'not_found',
    })
  })
})

describe('tail', () => {
  it('gives the last entries, oldest first', async () => {
    await write(...many(20))
    expect(await tail({ count: 3 })).toEqual([18, 19, 20])
    expect(await tail({ count: 3, agent: 'even' })).toEqual([15, 17, 19])
  })

  it('follows across segments, and stops when told', async () => {
    await write(...many(5))
    const stop = new AbortController()
    const following = tailJournal({ directory, count: 2, follow: true, signal: stop.signal })
    const found: (number | undefined)[] = []
    const take = async (count: number): Promise<void> => {
      for (let taken = 0; taken < count; taken++) found.push((await following.next()).value?.sequence)
    }
    await take(2)
    await write(...many(25, 5))
    await take(25)
    expect(found).toEqual(Array.from({ length: 27 }, (_, index) => index + 4))
    const next = following.next()
    stop.abort()
    expect(await next).toEqual({ done: true, value: undefined })
  })
})

describe('an entry on a terminal', () => {
  const line = (event: JournalEvent): string => formatEntry({ at: 0, sequence: 7, hash: '', previous: '', event })

  it('is one line, with what matters first', () => {
    expect(
      line({
        kind: 'intent',
        zeta: 1,
        decision: 'allow',
        agent: 'triage',
        list: [1, null],
        note: 'two words',
        missing: undefined,
      }),
    ).toBe('1970-01-01T00:00:00.000Z #7 intent agent=triage decision=allow list=[1,null] note="two words" zeta=1')
  })

  it('cannot move the cursor, hide or turn round text, nor pretend to be another field', () => {
    const hostile = 'a\u001b[2J\r\n\t\u0007\u009b\u202e\u2066\u200b\ufeff\u2028\ud800\u{e0041}z'
    const text = line({ kind: 'refusal', path: hostile, [hostile]: 'x', fake: 'x agent=root "' })
    expect(text).toMatch(/^[\u0020-\u007e]*$/)
    expect(text).toContain(
      'path=a\\u{1b}[2J\\u{d}\\u{a}\\u{9}\\u{7}\\u{9b}\\u{202e}\\u{2066}\\u{200b}\\u{feff}\\u{2028}\\u{d800}\\u{e0041}z',
    )
    expect(text).toContain('fake="x agent=root \\""')
  })

  it('is bounded', () => {
    expect(line({ kind: 'intent', path: 'x'.repeat(10_000) }).length).toBeLessThan(700)
  })
})
