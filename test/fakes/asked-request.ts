import type { HeaderPair } from '../../src/core/request.ts'
import type { createFacts } from '../../src/gateway/condition-facts.ts'
import { createFakeRecords } from './records.ts'

type Given = Parameters<typeof createFacts>

/** A request as conditions are asked about it: what a case says nothing of is always the same. */
export function asked({
  body = '{}',
  target = '/v1/x',
  headers = [],
  form,
  at = '2026-11-27T07:30:00Z',
  peer = '::ffff:10.2.3.4',
}: {
  readonly body?: string | undefined
  readonly target?: string | undefined
  readonly headers?: readonly HeaderPair[] | undefined
  /** A form instead of JSON. */
  readonly form?: string
  readonly at?: string
  readonly peer?: string
}): { readonly arrival: Given[0]; readonly place: Given[1]; readonly ports: Given[2] } {
  const now = Date.parse(at)
  const bytes = Buffer.from(form ?? body)
  const type = form === undefined ? 'application/json; charset=utf-8' : 'application/x-www-form-urlencoded'
  const sent: readonly HeaderPair[] = [['content-type', type], ...headers]
  return {
    arrival: { headers: sent, peer, protocol: 'http/1.1' },
    place: {
      head: { method: 'POST', scheme: 'https', host: 'api.example.test', port: 443, target, headers: sent },
      service: {
        id: 'example',
        name: 'Example',
        hosts: ['api.example.test'],
        fields: { key: 'secret' },
        inject: [{ kind: 'bearer' }],
        variables: { fields: {} },
        operations: [],
        checked: 'documented',
        source: 'made up',
      },
      caller: {
        sessionId: 's',
        agentId: 'a',
        agent: 'triage',
        environment: 'prod',
        egress: 'deny',
        jkt: null,
        narrowed: null,
        binding: { kind: 'address', address: '10.2.3.4' },
      },
      body: { bytes, leave: () => undefined, belongsTo: () => null },
      presented: null,
    },
    ports: {
      now: () => now,
      sessions: { get: () => ({ createdAt: now - 300_000 }) },
      records: createFakeRecords([
        {
          table: 'agent',
          id: 'a',
          body: { name: 'triage', environment: 'prod', owner: 'ann@example.test', state: 'active', createdAt: 0 },
        },
      ]),
    },
  }
}
