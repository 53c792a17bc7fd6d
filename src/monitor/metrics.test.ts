import { expect, test } from 'vitest'
import type { JournalEvent } from '../journal/event.ts'
import { createMetrics, SERIES_MAXIMUM } from './metrics.ts'

const gauges = {
  version: '1.2.3',
  startedAt: 5_000,
  openExchanges: () => 7,
  activeSessions: () => 2,
  journalEntries: () => 11,
  journalBehind: () => 2,
  isReady: () => false,
}

function told() {
  const events: JournalEvent[] = []
  const metrics = createMetrics(gauges)
  const journal = metrics.counted({
    append: (event) => {
      events.push(event)
      return Promise.resolve()
    },
    note: (event) => void events.push(event),
  })
  return { metrics, journal, events }
}

/** The sample lines of one metric. */
async function samples(metrics: { text(): Promise<string> }, name: string): Promise<string[]> {
  return (await metrics.text()).split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
}

test('what the journal is told is passed on as it is, and counted by what Keyward has names for', async () => {
  const { metrics, journal, events } = told()
  const intent = { kind: 'intent', agent: 'secretive', environment: 'dev', service: 'openai', path: '/x' } as const
  await journal.append(intent)
  await journal.append(intent, { sync: true })
  journal.note({
    kind: 'outcome',
    environment: 'dev',
    outcome: 'answered',
    bytesUp: 10,
    bytesDown: 2_000,
    scrubbed: 3,
    latencyMilliseconds: 40,
  })
  await journal.append({ kind: 'refusal', code: 'grant_missing', agent: 'secretive' })
  await journal.append({ kind: 'finding', finding: 'token_misplaced' })
  expect(events.slice(0, 2)).toEqual([intent, intent])
  expect(await samples(metrics, 'keyward_requests_total')).toEqual([
    'keyward_requests_total{environment="dev",service="openai"} 2',
  ])
  expect(await samples(metrics, 'keyward_request_outcomes_total')).toEqual([
    'keyward_request_outcomes_total{environment="dev",outcome="answered",code=""} 1',
  ])
  expect(await samples(metrics, 'keyward_refusals_total')).toEqual(['keyward_refusals_total{code="grant_missing"} 1'])
  expect(await samples(metrics, 'keyward_body_bytes_total')).toEqual([
    'keyward_body_bytes_total{direction="up"} 10',
    'keyward_body_bytes_total{direction="down"} 2000',
  ])
  expect(await samples(metrics, 'keyward_scrubbed_total')).toEqual(['keyward_scrubbed_total 3'])
  expect(await samples(metrics, 'keyward_exchange_duration_seconds_sum')).toEqual([
    'keyward_exchange_duration_seconds_sum 0.04',
  ])
  expect(await metrics.text()).not.toContain('secretive')
})

test('asked twice it says the same', async () => {
  const { metrics, journal } = told()
  await journal.append({ kind: 'refusal', code: 'grant_missing' })
  const first = await samples(metrics, 'keyward_refusals_total')
  expect(await samples(metrics, 'keyward_refusals_total')).toEqual(first)
})

test('gauges are read when they are asked for', async () => {
  const { metrics } = told()
  const text = await metrics.text()
  for (const line of [
    'keyward_build_info{version="1.2.3"} 1',
    'keyward_open_exchanges 7',
    'keyward_sessions_active 2',
    'keyward_journal_entries 11',
    'keyward_ready 0',
    'process_start_time_seconds 5',
  ])
    expect(text).toContain(`${line}\n`)
})

test('values of a label do not grow without end', async () => {
  const { metrics, journal } = told()
  for (let number = 0; number < SERIES_MAXIMUM + 50; number += 1)
    await journal.append({ kind: 'refusal', code: `code_${number}` })
  const lines = await samples(metrics, 'keyward_refusals_total')
  expect(lines).toHaveLength(SERIES_MAXIMUM + 1)
  expect(lines.at(-1)).toBe('keyward_refusals_total{code="other"} 50')
})

test('quotes and line breaks in a name of the operator break no line', async () => {
  const { metrics, journal } = told()
  await journal.append({ kind: 'intent', environment: 'a"b\nc\\', service: 's' })
  expect(await samples(metrics, 'keyward_requests_total')).toEqual([
    String.raw`keyward_requests_total{environment="a\"b\nc\\",service="s"} 1`,
  ])
})
