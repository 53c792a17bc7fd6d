import { Duplex, duplexPair } from 'node:stream'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { ErrorCode } from '../../core/errors.ts'
import type { RelayEnd } from '../relay.ts'
import {
  carry,
  WEBSOCKET_CHECK_MILLISECONDS,
  WEBSOCKET_CLOSE_MILLISECONDS,
  WEBSOCKET_ENDED_MILLISECONDS,
  WEBSOCKET_IDLE_MILLISECONDS,
} from './carry.ts'
import { frameOf } from './frames.ts'

afterEach(() => vi.useRealTimers())

const mask = Buffer.from([1, 2, 3, 4])
const said = (text: string): Buffer => frameOf('text', true, [Buffer.from(text)], null)
const asked = (text: string): Buffer => frameOf('text', true, [Buffer.from(text)], mask)
const closing = (side: 'client' | 'service', code = 1000): Buffer =>
  frameOf('close', true, [Buffer.from([code >> 8, code & 255])], side === 'client' ? mask : null)

/** An agent and a service that are driven by hand, with the carrier between them. */
function between() {
  const [agent, client] = duplexPair()
  const [service, upstream] = duplexPair()
  const heard = { agent: Buffer.alloc(0), service: Buffer.alloc(0) }
  agent.on('data', (chunk: Buffer) => (heard.agent = Buffer.concat([heard.agent, chunk])))
  service.on('data', (chunk: Buffer) => (heard.service = Buffer.concat([heard.service, chunk])))
  let stop: (code: ErrorCode) => void = () => undefined
  const denied: { code: ErrorCode | null } = { code: null }
  const watched = { now: false }
  const result: { end: RelayEnd | null } = { end: null }
  const end = carry({
    client,
    upstream,
    needles: null,
    swap: null,
    check: () => denied.code,
    watch(given) {
      stop = given
      watched.now = true
      return () => void (watched.now = false)
    },
  })
  void end.then((value) => (result.end = value))
  return { agent, client, service, upstream, heard, watched, result, denied, stop: (code: ErrorCode) => stop(code) }
}

/** Lets streams and promises do what they have to, whatever the clock says. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done))
}
const fakeTime = (): void =>
  void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })

test('carries both ways, counts, and ends when both sides have closed', async () => {
  const { agent, service, heard, result, watched } = between()
  agent.write(asked('up'))
  service.write(said('down'))
  await settle()
  expect(heard.agent).toEqual(said('down'))
  expect(heard.service.subarray(-2)).not.toEqual(Buffer.from('up'))
  service.write(closing('service'))
  await settle()
  expect(result.end).toBeNull()
  agent.write(closing('client'))
  await settle()
  expect(result.end).toEqual({
    outcome: 'answered',
    code: null,
    status: 101,
    bytesUp: 2,
    bytesDown: 4,
    scrubbed: 0,
    messages: { up: 1, down: 1, swapped: 0 },
  })
  expect(watched.now).toBe(false)
})

test('a side that has closed is not heard any more', async () => {
  const { agent, service, heard } = between()
  agent.write(Buffer.concat([closing('client'), asked('late')]))
  await settle()
  agent.write(asked('later'))
  await settle()
  // One Close frame with its status: two bytes of head, four of mask, two of payload.
  expect(heard.service).toHaveLength(8)
  service.write(said('still to be said'))
  await settle()
  expect(heard.agent.includes('still to be said')).toBe(true)
})

describe('time', () => {
  test('a WebSocket on which nothing moves ends; one that moves does not', async () => {
    fakeTime()
    const { agent, result, heard } = between()
    await settle()
    vi.advanceTimersByTime(WEBSOCKET_IDLE_MILLISECONDS - 1)
    agent.write(frameOf('ping', true, [], mask))
    await settle()
    vi.advanceTimersByTime(WEBSOCKET_IDLE_MILLISECONDS - 1)
    await settle()
    expect(result.end).toBeNull()
    vi.advanceTimersByTime(1)
    await settle()
    expect(result.end).toMatchObject({ outcome: 'ended', code: 'websocket_idle' })
    expect(heard.agent.includes('websocket_idle')).toBe(true)
  })

  test('a Close frame that nobody answers is waited for only so long', async () => {
    fakeTime()
    const { agent, result } = between()
    agent.write(closing('client'))
    await settle()
    vi.advanceTimersByTime(WEBSOCKET_CLOSE_MILLISECONDS - 1)
    await settle()
    expect(result.end).toBeNull()
    vi.advanceTimersByTime(1)
    await settle()
    expect(result.end).toMatchObject({ outcome: 'answered' })
  })

  test('what is allowed no longer ends, without anybody saying so', async () => {
    fakeTime()
    const { denied, heard, result } = between()
    await settle()
    vi.advanceTimersByTime(10 * WEBSOCKET_CHECK_MILLISECONDS)
    await settle()
    expect(result.end).toBeNull()
    denied.code = 'grant_expired'
    vi.advanceTimersByTime(WEBSOCKET_CHECK_MILLISECONDS)
    await settle()
    expect(result.end).toMatchObject({ outcome: 'ended', code: 'grant_expired' })
    expect(heard.agent.includes('grant_expired')).toBe(true)
  })

  test('a client that does not close what was taken away is cut off', async () => {
    fakeTime()
    const { client, upstream, stop, heard, result } = between()
    await settle()
    stop('session_revoked')
    await settle()
    expect(result.end).toMatchObject({ outcome: 'ended', code: 'session_revoked' })
    expect(heard.agent.subarray(2, 4).readUInt16BE(0)).toBe(1008)
    expect(heard.agent.includes('session_revoked')).toBe(true)
    // The service is not told what goes on here.
    expect(heard.service.length).toBe(8)
    expect(client.destroyed).toBe(false)
    vi.advanceTimersByTime(WEBSOCKET_ENDED_MILLISECONDS)
    expect([client.destroyed, upstream.destroyed]).toEqual([true, true])
  })
})

test('nothing passes once it was taken away', async () => {
  const { agent, service, heard, stop } = between()
  await settle()
  stop('credential_suspended')
  await settle()
  const before = [heard.agent.length, heard.service.length]
  agent.write(asked('more'))
  service.write(said('more'))
  await settle()
  expect([heard.agent.length, heard.service.length]).toEqual(before)
})

test.each([
  ['agent', 'aborted', null],
  ['service', 'broken', 'upstream_broken'],
] as const)('the %s goes without a word', async (who, outcome, code) => {
  const sides = between()
  await settle()
  sides[who].end()
  await settle()
  expect(sides.result.end).toMatchObject({ outcome, code })
})

test('one that was gone before it began', async () => {
  const [, client] = duplexPair()
  const [, upstream] = duplexPair()
  client.destroy()
  const end = await carry({
    client,
    upstream,
    needles: null,
    swap: null,
    check: () => null,
    watch: () => () => undefined,
  })
  expect(end).toMatchObject({ outcome: 'aborted' })
})

test('a reader that is behind holds the other side back', async () => {
  const [agent, client] = duplexPair()
  const [service, upstream] = duplexPair()
  void carry({ client, upstream, needles: null, swap: null, check: () => null, watch: () => () => undefined })
  let written = 0
  const pour = (): void => {
    while (written < 50_000_000) {
      written += 60_000
      if (!service.write(frameOf('binary', true, [Buffer.alloc(60_000)], null))) return void service.once('drain', pour)
    }
  }
  pour()
  await settle()
  await settle()
  expect(written).toBeLessThan(1_000_000)
  agent.resume()
  await settle()
  await vi.waitFor(() => expect(written).toBeGreaterThan(5_000_000))
  for (const stream of [agent, service, client, upstream]) if (stream instanceof Duplex) stream.destroy()
})
