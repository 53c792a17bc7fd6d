import { expect, test } from 'vitest'
import type { JournalEvent } from '../../src/journal/event.ts'
import { OCSF_VERSION, ocsfEvent } from '../../src/journal/ocsf.ts'
import { problemsOf, version } from './check.ts'

/** One of each that Keyward writes, as its code writes it. */
const events: readonly JournalEvent[] = [
  { kind: 'start', version: '0.1.0', gateway: '127.0.0.1:7071', epoch: 3 },
  { kind: 'stop', epoch: 4 },
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'].map((method): JournalEvent => ({
    agent: 'triage',
    bound: 'process',
    credential: 'main',
    decision: 'allow',
    door: 'base',
    environment: 'prod',
    exchange: 'e1',
    grant: 'g1',
    host: 'api.example.test',
    kind: 'intent',
    method,
    operation: 'things.create',
    path: '/v1/things',
    peer: '127.0.0.1',
    process: 12,
    rule: '*',
    service: 'example',
    session: 's1',
    version: 7,
  })),
  {
    kind: 'outcome',
    agent: 'triage',
    environment: 'prod',
    exchange: 'e1',
    outcome: 'answered',
    status: 200,
    latencyMilliseconds: 84,
    bytesUp: 1,
    bytesDown: 2,
    scrubbed: 0,
  },
  {
    kind: 'outcome',
    agent: 'triage',
    environment: 'prod',
    exchange: 'e1',
    outcome: 'refused',
    code: 'upstream_unreachable',
    latencyMilliseconds: 0,
  },
  { kind: 'refusal', door: 'connect', peer: '', code: 'token_missing', decision: 'deny' },
  {
    kind: 'refusal',
    agent: 'triage',
    session: 's1',
    environment: 'prod',
    door: 'base',
    peer: '::1',
    method: 'GET',
    host: 'h.test',
    path: '/',
    code: 'denied',
    decision: 'deny',
    rule: 'GET /**',
  },
  {
    kind: 'egress',
    exchange: 'e2',
    agent: 'triage',
    environment: 'dev',
    session: 's1',
    host: 'h.test',
    method: 'GET',
    path: '/',
    peer: '127.0.0.1',
    door: 'absolute',
  },
  { kind: 'egress', agent: 'triage', environment: 'dev', session: 's1', host: 'h.test', port: 443 },
  {
    kind: 'control',
    epoch: 5,
    actor: 'uid 1000',
    action: 'credential.add',
    rows: ['credential/c1', 'version/v1'],
    detail: { name: 'main' },
  },
  { kind: 'followed', epoch: 7 },
  { kind: 'control', epoch: 6, actor: 'keyward', action: 'journal.head', rows: ['setting/journal-head.node-1'] },
  { kind: 'control', epoch: 7, actor: 'uid 1000', action: 'agent.remove', rows: [] },
  {
    kind: 'control',
    action: 'run.start',
    actor: 'uid 1000',
    session: 's1',
    agent: 'triage',
    environment: 'dev',
    program: null,
    contain: 'files',
    egress: 'deny',
  },
  { kind: 'applied', epoch: 5 },
  { kind: 'finding', finding: 'journal_late', first: 3, last: 4 },
  {
    kind: 'finding',
    finding: 'token_misplaced',
    agent: 'triage',
    environment: 'dev',
    exchange: 'e1',
    host: 'h.test',
    ownerAgent: 'other',
    ownerSession: 's2',
    session: 's1',
    where: 'body',
  },
]
const source = { origin: 'keyward/node-1', version: '0.1.0', verified: true }
const hash = 'h'.repeat(43)
const exported = (event: JournalEvent, verified = true): Record<string, unknown> =>
  JSON.parse(
    JSON.stringify(
      ocsfEvent({ at: 1_790_000_000_000, event, hash, previous: hash, sequence: 9 }, { ...source, verified }),
    ),
  )

test('the version that is written is the one that is checked against', () => {
  expect(OCSF_VERSION).toBe(version)
})

test.each(
  events.map(
    (event) =>
      [
        `${event.kind} ${String(event['method'] ?? event['action'] ?? event['finding'] ?? event['outcome'] ?? '')}`,
        event,
      ] as const,
  ),
)('valid: %s', (_name, event) => {
  expect(problemsOf(exported(event))).toEqual([])
  expect(problemsOf(exported(event, false))).toEqual([])
})

test('every kind maps to a class of its own meaning, and nothing of the entry is lost', () => {
  const classes = new Map(events.map((event) => [event.kind, exported(event)['class_uid']]))
  expect(Object.fromEntries(classes)).toEqual({
    start: 6002,
    stop: 6002,
    intent: 6003,
    outcome: 6003,
    refusal: 6003,
    egress: 6003,
    control: 3004,
    applied: 3004,
    followed: 3004,
    finding: 2004,
  })
  for (const event of events) expect(exported(event)['unmapped']).toEqual({ ...event, hash })
})

test('an event of a journal that did not verify says so', () => {
  expect(exported(events[0] ?? { kind: 'stop' }, false)).toMatchObject({ metadata: { labels: ['unverified'] } })
  expect(exported(events[0] ?? { kind: 'stop' })['metadata']).not.toHaveProperty('labels')
})

test('the check finds what is wrong', () => {
  const good = exported(events[2] ?? { kind: 'stop' })
  expect(problemsOf({ ...good, api: {} })).toEqual(['api_activity.api.operation: is required'])
  expect(problemsOf({ ...good, activity_id: 7 })).toHaveLength(2)
  expect(problemsOf({ ...good, src_endpoint: {} })).toHaveLength(1)
  expect(problemsOf({ ...good, src_endpoint: { ip: 'here' } })).toHaveLength(1)
  expect(problemsOf({ ...good, time: '2026-01-01' })).toHaveLength(1)
  expect(problemsOf({ ...good, secret: 'x' })).toEqual(['api_activity.secret: is no attribute'])
  expect(problemsOf({ ...good, class_uid: 1 })).toHaveLength(1)
})
