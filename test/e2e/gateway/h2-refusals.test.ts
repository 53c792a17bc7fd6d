import { constants } from 'node:http2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStage, type Stage } from './harness.ts'
import { codeOf, doors, requestFields, type Door, type Held, type Login } from './requests.ts'
import type { Fields } from './h2-wire.ts'
import { always, startUpstream, type Upstream } from './upstream.ts'

/** A stream that is not one plain request is refused by itself, with its code and its entry, and nothing of it goes out. */

let stage: Stage
let upstream: Upstream
let held: Held
let other: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  held = await stage.hold({ id: 'echo', endpoint: upstream.origin, hosts: ['echo.vendor.test'] })
  other = await stage.hold({ id: 'other', endpoint: upstream.origin, hosts: ['other.vendor.test'] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const bearer = (one: Held = held) => ['authorization', `Bearer ${login.placeholder(one)}`] as const
const usual = (door: Door, headers: Fields = [], method = 'GET'): Fields =>
  requestFields(stage, { door, held, login, method, headers: [bearer(), ...headers] })
const without = (fields: Fields, name: string): Fields => fields.filter(([key]) => key !== name)
const put = (fields: Fields, name: string, value: string): Fields =>
  fields.map(([key, old]) => [key, key === name ? value : old] as const)

/** Sends it on a connection of its own, and afterwards something plain, which must not suffer. */
async function refusalOf(door: Door, fields: Fields): Promise<string> {
  const before = upstream.got.length
  const wire = await stage.openH2(door, held.host, login)
  try {
    const code = await wire.request(fields).then(codeOf, (error: Error) => error.message)
    expect(upstream.got.length).toBe(before)
    expect((await wire.request(usual(door))).body.toString()).toBe('ok')
    return code
  } finally {
    wire.close()
  }
}

describe.each(doors)('%s', (door) => {
  const since = Date.now()

  test.each<[string, (fields: Fields) => Fields]>([
    ['an upper-case name', (fields) => [...fields, ['X-Own', '1']]],
    ['connection', (fields) => [...fields, ['connection', 'close']]],
    ['keep-alive', (fields) => [...fields, ['keep-alive', 'timeout=5']]],
    ['proxy-connection', (fields) => [...fields, ['proxy-connection', 'keep-alive']]],
    ['transfer-encoding', (fields) => [...fields, ['transfer-encoding', 'chunked']]],
    ['upgrade', (fields) => [...fields, ['upgrade', 'websocket']]],
    ['te with another value', (fields) => [...fields, ['te', 'gzip']]],
    ['a pseudo-header twice', (fields) => [...fields.slice(0, 4), [':path', '/x'], ...fields.slice(4)]],
    ['a pseudo-header after the others', (fields) => [...fields.slice(0, 3), ...fields.slice(4), [':path', '/']]],
    ['an unknown pseudo-header', (fields) => [[':own', '1'], ...fields]],
    ['no method', (fields) => without(fields, ':method')],
    ['no path', (fields) => without(fields, ':path')],
    ['an empty authority', (fields) => put(fields, ':authority', '')],
    ['no authority and no host', (fields) => without(fields, ':authority')],
    ['no scheme', (fields) => without(fields, ':scheme')],
    ['an empty path', (fields) => put(fields, ':path', '')],
    ['a path that is none', (fields) => put(fields, ':path', 'x')],
    ['a space in the path', (fields) => put(fields, ':path', '/a b')],
    ['user information', (fields) => put(fields, ':authority', `a@${held.host}`)],
    ['extended CONNECT', (fields) => [[':protocol', 'websocket'], ...put(fields, ':method', 'CONNECT')]],
    ['a length that is not that of the body', (fields) => [...fields, ['content-length', '5']]],
    ['an answer’s status', (fields) => [[':status', '200'], ...fields]],
  ])('%s is no message at all', async (_name, change) => {
    expect(await refusalOf(door, change(usual(door)))).toBe(
      `The stream was reset with ${constants.NGHTTP2_PROTOCOL_ERROR}.`,
    )
    await stage.journaled({ kind: 'refusal', code: 'request_malformed', since })
  })

  test.each<[string, string, (fields: Fields) => Fields]>([
    [
      'CONNECT',
      'method_refused',
      () => [
        [':method', 'CONNECT'],
        [':authority', 'a.test:443'],
      ],
    ],
    ['TRACE', 'method_refused', (fields) => put(fields, ':method', 'TRACE')],
    ['a method in small letters', 'request_malformed', (fields) => put(fields, ':method', 'get')],
    ['a method that nobody knows', 'request_malformed', (fields) => put(fields, ':method', 'BREW')],
    ['the other scheme', 'request_malformed', (fields) => put(fields, ':scheme', door === 'tunnel' ? 'http' : 'https')],
    ['a scheme of its own', 'request_malformed', (fields) => put(fields, ':scheme', 'gopher')],
    ['Host besides another authority', 'request_malformed', (fields) => [...fields, ['host', 'other.vendor.test']]],
    [
      'a dot segment',
      'path_not_canonical',
      (fields) => put(fields, ':path', `${fields.find(([n]) => n === ':path')?.[1]}a/../b`),
    ],
    ['a method override', 'method_refused', (fields) => [...fields, ['x-http-method-override', 'DELETE']]],
    ['the credential twice', 'placeholder_ambiguous', (fields) => [...fields, bearer()]],
  ])('%s', async (_name, code, change) => {
    expect(await refusalOf(door, change(usual(door)))).toBe(code)
    await stage.journaled({ kind: 'refusal', code, since })
  })
})

test('Host in the place of the authority is good', async () => {
  const fields = without(usual('tunnel'), ':authority')
  const wire = await stage.openH2('tunnel', held.host, login)
  expect((await wire.request([...fields, ['host', held.host]])).status).toBe(200)
  expect((await wire.request([...usual('tunnel'), ['host', held.host]])).status).toBe(200)
  wire.close()
})

test('cookies that were taken apart arrive as one', async () => {
  const wire = await stage.openH2('tunnel', held.host, login)
  await wire.request(
    usual('tunnel', [
      ['cookie', 'a=1'],
      ['cookie', 'b=2'],
    ]),
  )
  expect(upstream.got.at(-1)?.headers.cookie).toBe('a=1; b=2')
  wire.close()
})

test('in a tunnel each stream is held to the tunnel’s host, by itself', async () => {
  const wire = await stage.openH2('tunnel', held.host, login)
  const before = upstream.got.length
  const foreign = put(
    requestFields(stage, { door: 'tunnel', held, login, headers: [bearer(other)] }),
    ':authority',
    other.host,
  )
  const answers = await Promise.all([
    wire.request(usual('tunnel')),
    wire.request(foreign),
    wire.request(put(usual('tunnel'), ':authority', other.host)),
    wire.request(put(usual('tunnel'), ':authority', `${held.host}:8443`)),
    wire.request(usual('tunnel')),
  ])
  expect(answers.map(({ status }) => status)).toEqual([200, 421, 421, 421, 200])
  expect(answers.slice(1, 4).map(codeOf)).toEqual(['host_mismatch', 'host_mismatch', 'host_mismatch'])
  expect(upstream.got.length).toBe(before + 2)
  await stage.journaled({ kind: 'refusal', code: 'host_mismatch' })
  wire.close()
})

test('the gateway’s own port does not answer under a foreign name without credentials', async () => {
  const fields = put(usual('base-url'), ':authority', 'rebound.test')
  const wire = await stage.openH2('base-url', held.host, login)
  expect(codeOf(await wire.request(fields))).toBe('token_missing')
  wire.close()
})

test('the settings switch push and extended CONNECT off and name the bounds', async () => {
  const wire = await stage.openH2('tunnel', held.host, login)
  await wire.request(usual('tunnel'))
  expect(wire.session.remoteSettings).toMatchObject({
    maxConcurrentStreams: 100,
    maxHeaderListSize: 65_536,
    enableConnectProtocol: false,
  })
  wire.close()
})
