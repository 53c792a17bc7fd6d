import { createServer, type Server } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { HeaderPair } from '../../../src/core/request.ts'
import type { Dialler } from '../../../src/gateway/dial.ts'
import { createDialler } from '../../../src/gateway/dialler.ts'
import type { Service } from '../../../src/services/service.ts'
import { hostileAnswers, type HostileAnswer } from './answers.ts'
import { escaped } from './draft.ts'

/** Hostile answers, read by Keyward's own codec and by undici (llhttp): what the first takes for whole, the second must read the same. */

const SEED = 1
const COUNT = 2_000
const AT_ONCE = 16

let server: Server
let own: Dialler
let library: Dialler
let service: Service
let answers: readonly HostileAnswer[]

beforeAll(async () => {
  answers = hostileAnswers(SEED, COUNT)
  server = createServer((socket) => {
    socket.on('error', () => undefined)
    let asked = ''
    socket.on('data', (chunk: Buffer) => {
      asked += chunk.toString('latin1')
      const index = / \/(\d+) HTTP/.exec(asked)?.[1]
      if (index === undefined || !asked.includes('\r\n\r\n')) return
      socket.end(answers[Number(index)]?.bytes ?? '')
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = address === null || typeof address === 'string' ? 0 : address.port
  const resolve = () => Promise.resolve([{ address: '127.0.0.1', family: 4 }])
  own = createDialler({ resolve, codec: 'own', headersTimeoutMilliseconds: 10_000, bodyTimeoutMilliseconds: 10_000 })
  library = createDialler({
    resolve,
    codec: 'library',
    headersTimeoutMilliseconds: 10_000,
    bodyTimeoutMilliseconds: 10_000,
  })
  service = {
    id: 'hostile',
    name: 'hostile',
    hosts: ['hostile.example.test'],
    endpoint: `http://127.0.0.1:${port}`,
    fields: { key: 'secret' },
    inject: [{ kind: 'bearer' }],
    variables: { fields: {} },
    operations: [],
    checked: 'documented',
    source: 'test',
  }
})

afterAll(async () => {
  await own.close()
  await library.close()
  server.close()
})

interface Heard {
  readonly interim: (readonly [number, readonly HeaderPair[]])[]
  status: number | null
  headers: readonly HeaderPair[]
  body: Buffer
  trailers: readonly HeaderPair[]
  whole: boolean
  failure: string | null
}

function hear(dialler: Dialler, index: number, method: string): Promise<Heard> {
  return new Promise((done) => {
    const heard: Heard = {
      interim: [],
      status: null,
      headers: [],
      body: Buffer.alloc(0),
      trailers: [],
      whole: false,
      failure: null,
    }
    const pieces: Uint8Array[] = []
    const over = (): void => done({ ...heard, body: Buffer.concat(pieces) })
    dialler.send(
      {
        method,
        scheme: 'http',
        host: 'hostile.example.test',
        port: 80,
        target: `/${index}`,
        headers: [['host', 'hostile.example.test']],
      },
      method === 'POST' ? Buffer.from('x') : null,
      service,
      {
        onSent: () => undefined,
        onInformation: (status, headers) => void heard.interim.push([status, headers]),
        onHead(status, headers) {
          heard.status = status
          heard.headers = headers
        },
        onData: (chunk) => void pieces.push(Buffer.from(chunk)),
        onEnd(trailers) {
          heard.trailers = trailers
          heard.whole = true
          over()
        },
        onFailure(refusal) {
          heard.failure = refusal.refusal
          over()
        },
      },
      'http/1.1',
    )
  })
}

/** undici leaves white space behind a value where it stood; Keyward takes it off (RFC 9110 section 5.5). */
function textOf({ interim, headers, trailers, body, ...rest }: Heard): string {
  const trimmed = (pairs: readonly HeaderPair[]) => pairs.map(([name, value]) => [name, value.replace(/[\t ]+$/, '')])
  return JSON.stringify({
    ...rest,
    interim: interim.map(([status, pairs]) => [status, trimmed(pairs)]),
    headers: trimmed(headers),
    trailers: trimmed(trailers),
    body: escaped(body),
  })
}

/**
 * Where Keyward reads what undici gives up, and why that is right: a tab is white space behind a value (RFC 9110
 * section 5.6.3), and a client must be able to read a 100 that it did not ask for (section 15.2).
 */
const KNOWN = /\r\n(?:content-length|transfer-encoding): *\w+ *\t\s*\r\n|^HTTP\/1.1 100 /i

test(`own codec and undici agree on ${COUNT} hostile answers`, async () => {
  const waiting = answers.map((answer, index) => ({ answer, index }))
  const wrong: string[] = []
  let whole = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
        const { answer, index } = one
        const mine = await hear(own, index, answer.method)
        const theirs = await hear(library, index, answer.method)
        if (!mine.whole) continue
        whole += 1
        const [left, right] = [textOf(mine), textOf(theirs)]
        if (left !== right && !KNOWN.test(answer.bytes.toString('latin1')))
          wrong.push(
            `${answer.name}\n  own:    ${left}\n  undici: ${right}\n  bytes:  ${escaped(answer.bytes).slice(0, 500)}`,
          )
      }
    }),
  )
  expect(wrong.length, wrong.slice(0, 12).join('\n')).toBe(0)
  expect(whole).toBeGreaterThan(COUNT / 10)
})
