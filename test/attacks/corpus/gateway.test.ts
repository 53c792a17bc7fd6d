import process from 'node:process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JournalEvent } from '../../../src/journal/event.ts'
import { openStage, type Stage } from '../../e2e/gateway/harness.ts'
import { doors, proxyCredentials, type Door, type Held, type Login } from '../../e2e/gateway/requests.ts'
import { converse, type Conversation } from './client.ts'
import { escaped, type Scene } from './draft.ts'
import { ALONE_COUNT, hostileRequest, hostileRequests, type HostileRequest } from './grammar.ts'
import { isKnown } from './known-differences.ts'
import { RECORDER_HEADER, startRecorder, type Recorded, type Recorder } from './recorder.ts'
import { readWithNode, type Reading } from './reference.ts'

/**
 * The hostile corpus against the real gateway, at every HTTP/1.1 door. Each request is either refused, or it
 * reaches the service exactly as policy read it: with method, target and body that an independent parser
 * found in the same bytes, one intent in the journal for each, and not a byte more.
 *
 * `KEYWARD_CORPUS=SEED` draws another corpus, `KEYWARD_CORPUS=SEED:INDEX` runs one request again.
 */

const [seedText = '1', indexText] = (process.env['KEYWARD_CORPUS'] ?? '1').split(':')
const SEED = Number(seedText)
const COUNT = 1_500
const AT_ONCE = 8

let stage: Stage
let recorder: Recorder
let echo: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  recorder = await startRecorder()
  echo = await stage.hold({ id: 'echo', endpoint: recorder.upstream.origin, deny: ['* /*/closed/**'] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await recorder.upstream.close()
})

/** Every request says to which case it belongs, so that what arrives can be traced back. */
const CASE_HEADER = 'x-case'

function sceneOf(door: Door, index: number): Scene {
  const proof = [`Authorization: Bearer ${login.placeholder(echo)}`, `${CASE_HEADER}: ${index}`]
  if (door === 'base-url')
    return { target: (path) => `/s/${echo.id}${path}`, host: `127.0.0.1:${stage.port}`, lines: proof }
  if (door === 'tunnel') return { target: (path) => path, host: echo.host, lines: proof }
  return {
    target: (path) => `http://${echo.host}${path}`,
    host: echo.host,
    lines: [`Proxy-Authorization: ${proxyCredentials(login.token)}`, ...proof],
  }
}

/** What a target on the request line means at the service; null: nothing that this door forwards. */
function targetAtService(door: Door, raw: string): string | null {
  const rest = {
    'base-url': /^\/s\/echo(?=[/?]|$)(.*)$/s,
    absolute: /^http:\/\/[^/?#]*(.*)$/is,
    tunnel: /^(.*)$/s,
  }[door].exec(raw)?.[1]
  return rest === undefined ? null : rest.startsWith('/') ? rest : `/${rest}`
}

test('the corpus is large, without repetition, and the same for everybody', () => {
  const corpus = hostileRequests(SEED, COUNT)
  expect(ALONE_COUNT).toBeGreaterThan(500)
  expect(new Set(corpus.map(({ bytes }) => bytes.toString('latin1'))).size).toBeGreaterThan(COUNT * 0.99)
  const again = hostileRequest(SEED, COUNT - 1)
  expect(again.bytes.equals(corpus.at(-1)?.bytes ?? Buffer.alloc(0))).toBe(true)
})

interface Trial {
  readonly request: HostileRequest
  readonly reading: Reading
  readonly conversation: Conversation
}

async function tryOne(door: Door, request: HostileRequest): Promise<Trial> {
  const reading = await readWithNode(request.bytes)
  const whole = reading.requests.filter((read) => read.whole)
  const wire = await stage.open(door, echo.host, login)
  const ends = reading.error !== null || reading.requests.some(({ method }) => method === 'CONNECT')
  const conversation = await converse(wire, request.bytes, {
    methods: reading.requests.map(({ method }) => method),
    answers: whole.length,
    ends,
  }).catch((error: unknown) => {
    throw new Error(describeCase(door, request, String(error)))
  })
  return { request, reading, conversation }
}

function describeCase(door: Door, { index, name, bytes }: HostileRequest, what: string): string {
  const text = escaped(bytes)
  return `${what}\n  at ${door}: ${name}\n  again: KEYWARD_CORPUS=${SEED}:${index}\n  bytes: ${text.length > 3_000 ? `${text.slice(0, 3_000)}… (${bytes.length} bytes)` : text}`
}

/** Headers that Keyward writes itself. */
const OWN = new Set(['host', 'authorization', 'content-length', 'transfer-encoding', 'accept-encoding', 'connection'])

/** What is wrong with what one request led to, or null. */
function faultOf(door: Door, { reading, conversation }: Trial, arrived: readonly Recorded[]): string | null {
  for (const { status, head } of conversation.answers) {
    const fromService = new RegExp(`\r\n${RECORDER_HEADER}: yes`).test(head)
    const refused = status >= 400 && /\r\nkeyward-error: [a-z_]+/.test(head)
    if (fromService === refused) return `an answer that is neither the service’s nor a refusal: ${head}`
  }
  const served = conversation.answers.filter(({ status }) => status === 200).length
  const whole = arrived.filter((request) => request.whole)
  if (served > whole.length) return `${served} answers of the service to ${whole.length} requests`
  const unused = [...reading.requests]
  for (const got of arrived) {
    const at = unused.findIndex(
      (read) => read.method === got.method && targetAtService(door, read.target) === got.target,
    )
    const read = unused[at]
    if (read === undefined) return `the service got ${got.method} ${got.target}, which nobody else reads in these bytes`
    unused.splice(at, 1)
    const same = got.whole
      ? read.whole && got.body.equals(read.body)
      : read.body.subarray(0, got.body.length).equals(got.body)
    if (!same) return `the service got the body ${JSON.stringify(got.body.toString('latin1').slice(0, 200))}`
    const values = (name: string): string[] => got.headers.filter(([key]) => key === name).map(([, value]) => value)
    if (values('host').join() !== echo.host) return `the service got the Host ${values('host').join()}`
    if (values('authorization').join() !== `Bearer ${echo.secret()}`)
      return 'the service did not get the credential once'
    const added = got.headers.find(
      ([name, value]) => !OWN.has(name) && !read.headers.some(([key, text]) => key === name && text === value),
    )
    if (added !== undefined) return `the service got the header ${added.join(': ')}`
  }
  return null
}

describe.each(doors)('%s', (door) => {
  test(`each hostile request is refused, or sent as it was read (seed ${SEED})`, async () => {
    const corpus = (
      indexText === undefined ? Array.from({ length: COUNT }, (_, index) => index) : [Number(indexText)]
    ).map((index) => hostileRequest(SEED, index, sceneOf(door, index)))
    const before = recorder.requests.length
    const since = Date.now()
    const trials: Trial[] = []
    const waiting = [...corpus]
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) trials.push(await tryOne(door, one))
      }),
    )
    const entries = await settled(since)
    const arrived = recorder.requests.slice(before)

    const caseOf = ({ headers }: Recorded): string | undefined => headers.find(([name]) => name === CASE_HEADER)?.[1]
    for (const trial of trials) {
      const { request } = trial
      const fault = faultOf(
        door,
        trial,
        arrived.filter((got) => caseOf(got) === String(request.index)),
      )
      if (fault !== null && !isKnown(request.name)) throw new Error(describeCase(door, request, fault))
    }
    expect(arrived.filter((got) => caseOf(got) === undefined)).toEqual([])

    // Written before sent: each request that arrived has an intent of its own, and each that was answered has arrived.
    const intents = entries.filter(({ kind }) => kind === 'intent').map(keyOf)
    const left = [...intents]
    for (const got of arrived) {
      const key = `${got.method} ${pathOf(got.target)}`
      const at = left.indexOf(key)
      expect(at, `an intent for ${key}`).toBeGreaterThanOrEqual(0)
      left.splice(at, 1)
    }
    const outcomes = new Map(
      entries.filter(({ kind }) => kind === 'outcome').map((event) => [event['exchange'], event]),
    )
    const answered = entries.filter(
      ({ kind, exchange }) => kind === 'intent' && outcomes.get(exchange)?.['outcome'] === 'answered',
    )
    expect(answered.length).toBeLessThanOrEqual(arrived.filter(({ whole }) => whole).length)
    expect(recorder.strays).toEqual([])
    expect(stage.errors).toEqual([])
    if (indexText !== undefined) return
    expect(trials.length).toBe(COUNT)
    // Both sides of the promise were tried.
    expect(arrived.length).toBeGreaterThan(100)
    expect(
      trials.filter(({ conversation }) => conversation.answers.some(({ status }) => status >= 400)).length,
    ).toBeGreaterThan(500)
  })
})

function keyOf(event: JournalEvent): string {
  return `${String(event['method'])} ${String(event['path'])}`
}

function pathOf(target: string): string {
  const path = target.split('?')[0] ?? ''
  return path.length <= 1_024 ? path : `${path.slice(0, 1_024)}… (${path.length} characters)`
}

/** The entries since then, once every intent has its outcome. */
async function settled(since: number): Promise<JournalEvent[]> {
  for (const until = Date.now() + 15_000; ;) {
    const events = (await stage.entries({ since })).map(({ event }) => event)
    const over = new Set(events.filter(({ kind }) => kind === 'outcome').map((event) => event['exchange']))
    if (events.every((event) => event.kind !== 'intent' || over.has(event['exchange']))) return events
    if (Date.now() > until) throw new Error('An intent has no outcome.')
    await new Promise((done) => setTimeout(done, 20))
  }
}
