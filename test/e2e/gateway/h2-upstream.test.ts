import { constants } from 'node:http2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority, type Authority } from '../../fakes/authority.ts'
import { startH2Upstream, type H2Handler, type H2Upstream, type H2UpstreamOptions } from './h2-upstream.ts'
import { eventually, openStage, type Stage } from './harness.ts'
import { codeOf, requestFields, type Ask, type Held, type Login } from './requests.ts'
import { header } from './wire.ts'

/** The services' side: HTTP/2 where the request came over it and the service agrees. */

let stage: Stage
let authority: Authority
let login: Login
const upstreams: H2Upstream[] = []
let count = 0

beforeAll(async () => {
  stage = await openStage()
  authority = await createAuthority()
})

afterAll(async () => {
  await stage.close()
  for (const one of upstreams) await one.close()
})

interface Place {
  readonly held: Held
  readonly upstream: H2Upstream
  readonly ask: (over?: Partial<Ask>) => Ask
}

async function behind(handler: H2Handler, options: H2UpstreamOptions & { clear?: boolean } = {}): Promise<Place> {
  const id = `h2-${count++}`
  const host = `${id}.vendor.test`
  const leaf = options.clear === true ? {} : { leaf: await authority.issue([host]) }
  const upstream = await startH2Upstream(handler, { ...options, ...leaf })
  upstreams.push(upstream)
  const held = await stage.hold({
    id,
    endpoint: upstream.origin,
    hosts: [host],
    ...(options.clear === true ? { http2: true } : { trust: authority.certificate }),
  })
  login = await stage.login('triage')
  const bearer = login
  return {
    held,
    upstream,
    ask: (over = {}) => ({
      door: 'tunnel',
      protocol: 'h2',
      held,
      login: bearer,
      ...over,
      headers: [['authorization', `Bearer ${bearer.placeholder(held)}`], ...(over.headers ?? [])],
    }),
  }
}

const echo: H2Handler = (stream, got) => {
  const authorization = got.headers.find(([name]) => name === 'authorization')?.[1] ?? ''
  stream.respond({ ':status': 200, 'x-echo': authorization }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-trailer': authorization }))
  stream.end(`${authorization} ${got.body.toString()}`)
}

test.each(['base-url', 'tunnel'] as const)('%s: fields, body, answer and trailers cross', async (door) => {
  const { ask, held, upstream } = await behind(echo)
  const answer = await stage.request(
    ask({ door, method: 'POST', target: '/a/b?c=d', body: 'hello', headers: [['x-own', 'e\xe9']] }),
  )
  expect(answer.status).toBe(200)
  expect(answer.body.toString()).toBe(`Bearer ${login.placeholder(held)} hello`)
  expect(header(answer, 'x-echo')).toBe(`Bearer ${login.placeholder(held)}`)
  expect(answer.trailers).toEqual([['x-trailer', `Bearer ${login.placeholder(held)}`]])
  const [got] = upstream.got
  expect(got?.headers.slice(0, 4)).toEqual([
    [':method', 'POST'],
    [':scheme', 'https'],
    [':authority', held.host],
    [':path', '/a/b?c=d'],
  ])
  expect(got?.headers).toContainEqual(['authorization', `Bearer ${held.secret()}`])
  expect(got?.headers).toContainEqual(['x-own', 'e\xe9'])
  expect(got?.headers).toContainEqual(['content-length', '5'])
  expect(got?.body.toString()).toBe('hello')
})

test('a request over HTTP/1.1 goes on over HTTP/1.1', async () => {
  const { ask, upstream } = await behind(
    (stream) => {
      stream.respond({ ':status': 200 })
      stream.end('h2')
    },
    { allowHTTP1: true },
  )
  expect((await stage.request(ask({ protocol: 'http/1.1' }))).body.toString()).toBe('http/1.1')
  expect(upstream.http1).toEqual(['/'])
  expect((await stage.request(ask())).body.toString()).toBe('h2')
  expect(upstream.got).toHaveLength(1)
})

test('a service that does not agree to HTTP/2 is asked over HTTP/1.1', async () => {
  const { startUpstream } = await import('./upstream.ts')
  const leaf = await authority.issue(['only-one.vendor.test'])
  const upstream = await startUpstream((_request, response) => response.end('one'), { leaf })
  const held = await stage.hold({
    id: 'only-one',
    endpoint: upstream.origin,
    hosts: ['only-one.vendor.test'],
    trust: authority.certificate,
  })
  const only = await stage.login('triage')
  const ask: Ask = {
    door: 'tunnel',
    protocol: 'h2',
    held,
    login: only,
    headers: [['authorization', `Bearer ${only.placeholder(held)}`]],
  }
  const answers = await Promise.all([stage.request(ask), stage.request(ask), stage.request(ask)])
  expect(answers.map(({ body }) => body.toString())).toEqual(['one', 'one', 'one'])
  expect((await stage.request(ask)).body.toString()).toBe('one')
  await upstream.close()
})

test('without TLS, where the operator wrote it down', async () => {
  const { ask, upstream } = await behind(echo, { clear: true })
  expect((await stage.request(ask({ body: 'x', method: 'POST' }))).status).toBe(200)
  // Whatever it came over: such a service speaks nothing else.
  expect((await stage.request(ask({ protocol: 'http/1.1' }))).status).toBe(200)
  expect(upstream.got).toHaveLength(2)
  expect(upstream.sessions).toHaveLength(1)
})

test('many requests share one connection, and a further one is opened where there is no room', async () => {
  const waiting: (() => void)[] = []
  const { ask, held, upstream } = await behind(
    (stream) => {
      waiting.push(() => {
        stream.respond({ ':status': 200 })
        stream.end('done')
      })
      if (waiting.length === 25) for (const answer of waiting) answer()
    },
    { streams: 10 },
  )
  const wire = await stage.openH2('tunnel', held.host, login)
  const answers = await Promise.all(Array.from({ length: 25 }, () => wire.request(requestFields(stage, ask()))))
  expect(answers.every(({ status, body }) => status === 200 && body.toString() === 'done')).toBe(true)
  expect(upstream.sessions.length).toBeGreaterThanOrEqual(3)
  expect(upstream.sessions.length).toBeLessThanOrEqual(4)
})

test('after GOAWAY what runs is finished, and the next request has a new connection', async () => {
  const { ask, held, upstream } = await behind((stream, got) => {
    const first = upstream.got.length === 1
    stream.respond({ ':status': 200 })
    stream.write('a')
    if (first) stream.session?.goaway()
    setTimeout(() => stream.end(got.body), 20)
  })
  const wire = await stage.openH2('tunnel', held.host, login)
  const one = wire.request(requestFields(stage, ask({ method: 'POST' })), 'b')
  await eventually(() => upstream.got.length === 1)
  expect((await one).body.toString()).toBe('ab')
  expect((await wire.request(requestFields(stage, ask()))).body.toString()).toBe('a')
  expect(upstream.sessions).toHaveLength(2)
})

describe('what a service breaks off', () => {
  test.each([
    ['internal error', constants.NGHTTP2_INTERNAL_ERROR],
    ['cancel', constants.NGHTTP2_CANCEL],
    ['no error', constants.NGHTTP2_NO_ERROR],
    ['refused', constants.NGHTTP2_REFUSED_STREAM],
  ])('before its answer, with %s, is a refusal', async (_name, code) => {
    const { ask } = await behind((stream) => stream.close(code))
    expect(codeOf(await stage.request(ask()))).toBe('upstream_broken')
  })

  test.each([
    ['internal error', constants.NGHTTP2_INTERNAL_ERROR],
    ['cancel', constants.NGHTTP2_CANCEL],
    ['no error', constants.NGHTTP2_NO_ERROR],
  ])('in the middle, with %s, does not look whole', async (_name, code) => {
    const { ask } = await behind((stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      stream.write('half')
      setTimeout(() => stream.close(code), 20)
    })
    for (const protocol of ['h2', 'http/1.1'] as const) {
      const answer = await stage.request(ask({ protocol, ...(protocol === 'h2' ? {} : { door: 'base-url' }) }))
      if (protocol === 'h2')
        expect({ status: answer.status, whole: answer.whole }).toEqual({ status: 200, whole: false })
      else expect(answer.status).toBe(502)
    }
    expect((await stage.journaled({ kind: 'outcome', code: 'upstream_broken' })).event).toBeDefined()
  })
})

test('interim answers go through, too many of them end the exchange', async () => {
  let interim = 1
  const { ask, held } = await behind((stream, got) => {
    const secret = got.headers.find(([name]) => name === 'authorization')?.[1] ?? ''
    for (let i = 0; i < interim; i++) stream.additionalHeaders({ ':status': 103, link: `<${secret}>` })
    stream.respond({ ':status': 200 })
    stream.end('x')
  })
  const wire = await stage.openH2('tunnel', held.host, login)
  const told: unknown[] = []
  const stream = wire.stream(requestFields(stage, ask()))
  stream.on('headers', (headers) => told.push(headers))
  const { answerOf } = await import('./h2-wire.ts')
  expect((await answerOf(stream)).status).toBe(200)
  expect(told).toMatchObject([{ ':status': 103, link: `<Bearer ${login.placeholder(held)}>` }])
  interim = 40
  expect(codeOf(await stage.request(ask()))).toBe('upstream_broken')
})

test('an agent that goes away ends the stream at the service, and no other', async () => {
  const closed: number[] = []
  const { ask, held, upstream } = await behind((stream, got) => {
    const path = got.headers.find(([name]) => name === ':path')?.[1]
    stream.respond({ ':status': 200 })
    stream.write('begun\n')
    if (path === '/stay') setTimeout(() => stream.end('done'), 300)
    else stream.once('close', () => closed.push(stream.rstCode ?? -1))
  })
  const wire = await stage.openH2('tunnel', held.host, login)
  const stay = wire.request(requestFields(stage, ask({ target: '/stay' })))
  const going = wire.stream(requestFields(stage, ask({ target: '/go' })))
  await new Promise((done) => going.once('data', done))
  going.close(constants.NGHTTP2_CANCEL)
  await eventually(() => closed.length === 1)
  expect(closed).toEqual([constants.NGHTTP2_CANCEL])
  expect((await stay).body.toString()).toBe('begun\ndone')
  expect(upstream.sessions).toHaveLength(1)
})
