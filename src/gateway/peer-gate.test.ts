import { expect, test } from 'vitest'
import { needlesOf } from '../core/needles.ts'
import type { BoundTo, PeerFinding } from '../identity/peer.ts'
import type { Caller } from '../identity/sessions.ts'
import { CHECKED_SESSIONS_MAXIMUM, createPeerGate } from './peer-gate.ts'

const connection = () => ({ address: '127.0.0.1', port: 40_000, localAddress: '127.0.0.1', localPort: 7_071 })
const bound: BoundTo = { kind: 'process', processId: 50, startTicks: '100' }
const caller = (sessionId = 's', binding: Caller['binding'] = bound): Caller => ({
  sessionId,
  agentId: 'a',
  agent: 'triage',
  environment: 'dev',
  egress: 'deny',
  binding,
  jkt: null,
  narrowed: null,
})
const holder = { processId: 60, program: 'curl' }
const inside: PeerFinding = { verdict: 'inside', holder }
const outside: PeerFinding = { verdict: 'outside', reason: 'process', holder, userId: 1000 }
const unknown: PeerFinding = { verdict: 'unknown', reason: 'orphan', holder }

function gateOf(finding: PeerFinding, secret = 'nothing-in-particular') {
  const asked: unknown[] = []
  const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }])
  const gate = createPeerGate({
    check: {
      check: async (...what) => {
        asked.push(what)
        return finding
      },
    },
    needles: { of: () => needles },
  })
  return { gate, asked }
}

test('an unbound session pays nothing', () => {
  const { gate, asked } = gateOf(outside)
  expect(gate.refusalOf(caller('s', { kind: 'unbound' }), connection())).toBeNull()
  expect(gate.factsOf(caller('s', { kind: 'unbound' }), connection())).toEqual({})
  expect(asked).toEqual([])
})

test('a connection is looked at once for each session, and answered at once after that', async () => {
  const { gate, asked } = gateOf(inside)
  const one = connection()
  expect(await gate.refusalOf(caller(), one)).toBeNull()
  expect(gate.refusalOf(caller(), one)).toBeNull()
  expect(asked).toHaveLength(1)
  await gate.refusalOf(caller('other'), one)
  await gate.refusalOf(caller(), connection())
  expect(asked).toHaveLength(3)
})

test('who calls from elsewhere is refused each time, and the journal is told who it was', async () => {
  const { gate, asked } = gateOf(outside)
  const one = connection()
  const first = await gate.refusalOf(caller(), one)
  const second = gate.refusalOf(caller(), one)
  expect(second).toEqual(first)
  expect(asked).toHaveLength(1)
  expect(first).toMatchObject({
    refusal: 'session_elsewhere',
    caller: { sessionId: 's' },
    facts: { bound: 'process', reason: 'process', user: 1000, process: 60, program: 'curl' },
  })
})

test('what cannot be told passes, and is shown as such', async () => {
  const { gate } = gateOf(unknown)
  const one = connection()
  expect(await gate.refusalOf(caller(), one)).toBeNull()
  expect(gate.factsOf(caller(), one)).toEqual({ bound: 'process, not proven: orphan', process: 60, program: 'curl' })
})

test('a program that calls itself by a secret does not bring it into the journal', async () => {
  const { gate } = gateOf({ verdict: 'inside', holder: { processId: 60, program: 'key-1234567890' } }, 'key-1234567890')
  const one = connection()
  await gate.refusalOf(caller(), one)
  expect(gate.factsOf(caller(), one)).toEqual({ bound: 'process', process: 60, program: '[keyward:key]' })
})

test('sessions remembered for one connection are bounded', async () => {
  const { gate, asked } = gateOf(inside)
  const one = connection()
  for (let index = 0; index <= CHECKED_SESSIONS_MAXIMUM; index += 1) await gate.refusalOf(caller(`s${index}`), one)
  expect(asked).toHaveLength(CHECKED_SESSIONS_MAXIMUM + 1)
  await gate.refusalOf(caller('s0'), one)
  expect(asked).toHaveLength(CHECKED_SESSIONS_MAXIMUM + 2)
})
