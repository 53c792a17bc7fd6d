import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { ErrorCode } from '../core/errors.ts'
import { needlesOf } from '../core/needles.ts'
import type { HeaderPair } from '../core/request.ts'
import { WHOLE_BODY_BYTES } from './answer.ts'
import type { AnswerListener, Dialler } from './dial.ts'
import { relay, type RelayEnd } from './relay.ts'
import type { Reply } from './reply.ts'

const secret = randomBytes(20).toString('hex')
const needles = needlesOf([{ name: 'k', value: Buffer.from(secret), replacement: '[k]' }])
const head = { method: 'GET', scheme: 'https', host: 'api.example.test', port: 443, target: '/', headers: [] } as const

/** A relay between a service and a reader that are both driven by hand. */
function between(options: { readonly guarded?: boolean } = {}) {
  const said = {
    status: 0,
    headers: [] as readonly HeaderPair[],
    body: '',
    trailers: [] as readonly HeaderPair[],
    ended: false,
    destroyed: false,
  }
  const flow: string[] = []
  const room = { left: Number.POSITIVE_INFINITY }
  let started = false
  let drain: () => void = () => undefined
  let gone: () => void = () => undefined
  let stop: (code: ErrorCode) => void = () => undefined
  let watched = false
  const heard: { listener: AnswerListener | null } = { listener: null }
  const write = (chunk: Uint8Array): boolean => {
    said.body += Buffer.from(chunk).toString('latin1')
    room.left -= chunk.byteLength
    return room.left > 0
  }
  const reply: Reply = {
    get started() {
      return started
    },
    inform: () => undefined,
    start(status, headers) {
      started = true
      Object.assign(said, { status, headers })
    },
    write,
    respond(status, headers, body) {
      started = true
      Object.assign(said, { status, headers, ended: true })
      write(body)
    },
    end(trailers = []) {
      Object.assign(said, { ended: true, trailers })
    },
    destroy: () => void (said.destroyed = true),
    onDrain: (listener) => void (drain = listener),
    onClose: (listener) => void (gone = listener),
  }
  const dialler: Pick<Dialler, 'send'> = {
    send(_head, _body, _service, listener) {
      heard.listener = listener
      return { abort: () => void flow.push('abort request') }
    },
  }
  const end: Promise<RelayEnd> = relay({
    head,
    body: null,
    reply,
    service: null,
    needles: options.guarded === false ? null : needles,
    dialler,
    protocol: 'http/1.1',
    watch(given) {
      stop = given
      watched = true
      return () => void (watched = false)
    },
  })
  const service = heard.listener
  if (service === null) throw new Error('nothing was sent')
  return {
    said,
    flow,
    room,
    end,
    service,
    answer: (status: number, headers: readonly HeaderPair[] = []) =>
      service.onHead(status, headers, {
        pause: () => void flow.push('pause'),
        resume: () => void flow.push('resume'),
        abort: () => void flow.push('abort'),
      }),
    drain: () => drain(),
    leave: () => gone(),
    stop: (code: ErrorCode) => stop(code),
    isWatched: () => watched,
  }
}

describe('pace', () => {
  test('the service waits while the reader is behind, and goes on when it has caught up', async () => {
    const { service, answer, room, flow, drain, end } = between()
    answer(200)
    room.left = 10
    service.onData(Buffer.from('x'.repeat(50)))
    expect(flow).toEqual(['pause'])
    room.left = Number.POSITIVE_INFINITY
    drain()
    await new Promise(setImmediate)
    expect(flow).toEqual(['pause', 'resume'])
    service.onEnd([])
    expect(await end).toMatchObject({ outcome: 'answered', status: 200, bytesDown: 50 })
  })
})

test('a body that is small only as long as it is coded goes out as it comes, at the pace of the reader', async () => {
  const { service, answer, room, flow, said, end } = between()
  const coded = gzipSync(Buffer.alloc(40 * WHOLE_BODY_BYTES, 'a'))
  expect(coded.byteLength).toBeLessThan(WHOLE_BODY_BYTES)
  answer(200, [
    ['content-encoding', 'gzip'],
    ['content-length', String(coded.byteLength)],
  ])
  room.left = 10
  service.onData(coded)
  await expect.poll(() => said.body.length).toBeGreaterThan(0)
  await new Promise((done) => setTimeout(done, 50))
  expect(said.body.length).toBeLessThan(2 * WHOLE_BODY_BYTES)
  expect(flow).toEqual(['pause'])
  expect(said.headers).not.toContainEqual(['content-length', expect.anything()])
  service.onFailure({ refusal: 'upstream_broken' })
  expect(await end).toMatchObject({ outcome: 'broken' })
})

describe('ends', () => {
  test('a whole answer, its trailers clean', async () => {
    const { service, answer, said, end, isWatched, flow } = between()
    answer(200, [['x-a', secret]])
    service.onData(Buffer.from(`a ${secret}`))
    service.onEnd([['x-t', secret]])
    expect(await end).toMatchObject({ outcome: 'answered', code: null })
    expect(said).toMatchObject({ status: 200, body: 'a [k]', ended: true })
    expect(JSON.stringify(said)).not.toContain(secret)
    expect(isWatched()).toBe(false)
    expect(flow).toEqual([])
  })

  test('the agent goes away before the answer, and during it', async () => {
    const before = between()
    before.leave()
    expect(await before.end).toMatchObject({ outcome: 'aborted', status: null })
    expect(before.flow).toEqual(['abort request'])
    before.answer(200)
    expect(before.said.status).toBe(0)
    const during = between()
    during.answer(200)
    during.leave()
    expect(await during.end).toMatchObject({ outcome: 'aborted', status: 200 })
    during.service.onData(Buffer.from(secret))
    during.service.onEnd([])
    expect(during.said).toMatchObject({ body: '', ended: false })
  })

  test('Keyward ends it: told before the answer, broken off during it', async () => {
    const before = between()
    before.stop('session_revoked')
    expect(await before.end).toMatchObject({ outcome: 'ended', code: 'session_revoked' })
    expect(before.said.body).toContain('session_revoked')
    const during = between()
    during.answer(200)
    during.stop('credential_suspended')
    expect(await during.end).toMatchObject({ outcome: 'ended', code: 'credential_suspended', status: 200 })
    expect(during.said.destroyed).toBe(true)
  })

  test('the service fails: told before the answer, broken off during it', async () => {
    const before = between()
    before.service.onFailure({ refusal: 'upstream_untrusted' })
    expect(await before.end).toMatchObject({ outcome: 'refused', code: 'upstream_untrusted' })
    const during = between()
    during.answer(200)
    during.service.onFailure({ refusal: 'upstream_timeout' })
    expect(await during.end).toMatchObject({ outcome: 'broken', code: 'upstream_broken' })
    expect(during.said.destroyed).toBe(true)
  })

  test('a small answer that breaks before its end is told as broken, not passed on in part', async () => {
    const { service, answer, said, end } = between()
    answer(200, [['content-length', '10']])
    service.onData(Buffer.from('half'))
    service.onFailure({ refusal: 'upstream_broken' })
    await end
    expect(said).toMatchObject({ status: 502 })
    expect(said.body).toContain('upstream_broken')
    expect(said.body).not.toContain('half')
  })

  test('what ends twice is told once', async () => {
    const { service, answer, end, stop, leave, said } = between()
    answer(200)
    service.onEnd([])
    stop('agent_suspended')
    leave()
    service.onFailure({ refusal: 'upstream_broken' })
    expect(await end).toMatchObject({ outcome: 'answered' })
    expect(said.destroyed).toBe(false)
  })
})

test('an answer of a host that nobody guards passes as it is, but not in Keyward’s name', async () => {
  const { service, answer, said, end } = between({ guarded: false })
  answer(200, [
    ['x-a', secret],
    ['keyward-error', 'token_invalid'],
    ['connection', 'x-hop'],
    ['x-hop', '1'],
  ])
  service.onData(Buffer.from(secret))
  service.onEnd([])
  await end
  expect(said).toMatchObject({ headers: [['x-a', secret]], body: secret })
})
