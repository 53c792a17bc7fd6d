import { afterAll, beforeAll, expect } from 'vitest'
import { frame, headersFrames, type Fields } from '../../e2e/gateway/h2-wire.ts'
import { openStage, type Stage } from '../../e2e/gateway/harness.ts'
import { requestFields, type Held, type Login } from '../../e2e/gateway/requests.ts'
import { ask, outcomeOf, rawH2 } from '../asking.ts'
import { attack, fronts, type Front } from '../attack.ts'
import { randomFrom, type Random } from './random.ts'
import { startRecorder, type Recorder } from './recorder.ts'

/**
 * Frames of HTTP/2 that a seed draws, at every front that speaks it: the process survives, nothing that is no
 * request arrives, and what arrives is one that this agent could have sent. An error that nobody catches
 * fails the run by itself.
 */

const SEED = 1
const COUNT = 250
const AT_ONCE = 8

let stage: Stage
let recorder: Recorder
let echo: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  recorder = await startRecorder()
  echo = await stage.hold({ id: 'echo', endpoint: recorder.upstream.origin, deny: ['* /closed/**'] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await recorder.upstream.close()
})

const HOSTILE: readonly Fields[] = [
  [],
  [['content-length', '5']],
  [['content-length', '0']],
  [['content-length', '999999999999999999999']],
  [
    ['content-length', '5'],
    ['content-length', '5'],
  ],
  [['transfer-encoding', 'chunked']],
  [['connection', 'close']],
  [['host', 'evil.test']],
  [['x', 'a\0b']],
  [['x', 'a\r\nb']],
  [['', 'x']],
  [[':path', '/other']],
  [[':x', 'y']],
  [['X', 'y']],
  [['te', 'trailers']],
  [['expect', '100-continue']],
  [
    ['cookie', 'a=b'],
    ['cookie', 'c=d'],
  ],
  [['x-http-method-override', 'DELETE']],
  [['authorization', 'Bearer x']],
  [['x', 'a'.repeat(5_000)]],
  [['upgrade', 'h2c']],
  [[':protocol', 'websocket']],
]

function noise(random: Random, longest: number): Buffer {
  return Buffer.from(Array.from({ length: random.below(longest) }, () => random.below(256)))
}

/** One frame, or a few that belong together. */
function piece(front: Front, random: Random, stream: number): Buffer {
  const method = random.pick(['GET', 'GET', 'POST', 'POST', 'HEAD', 'CONNECT', 'get'])
  const target = random.pick(['/open/a', '/open/b', '/open/a', '/open/b', '/closed/c', '/open/../closed', '*', ''])
  const headers = [['authorization', `Bearer ${login.placeholder(echo)}`] as const]
  const usual = requestFields(stage, { door: front.door, held: echo, login, method, target, headers })
  const fields = random.chance(0.5) ? usual : [...usual, ...random.pick(HOSTILE)]
  const block = headersFrames(stream, fields, random.chance(0.8))
  // Most of it is well-formed, so that a connection lives long enough for the rest to matter.
  switch (random.below(20)) {
    case 2:
      return Buffer.concat([block, frame(0, random.below(2), stream, noise(random, 60))])
    case 3: {
      const broken = Buffer.from(block)
      broken[9 + random.below(broken.length - 9)] = random.below(256)
      return broken
    }
    case 4:
      return frame(0, random.below(16), random.below(12), noise(random, 100))
    case 5:
      return frame(random.below(14), random.below(256), random.below(12), noise(random, 30))
    case 6:
      return frame(3, 0, stream, Buffer.from([0, 0, 0, random.below(16)]))
    case 7:
      return noise(random, 40)
    default:
      return block
  }
}

async function converse(front: Front, index: number): Promise<void> {
  const random = randomFrom(SEED, index)
  const wire = await rawH2(stage, front, echo.host, login)
  wire.socket.on('error', () => undefined)
  for (let left = 1 + random.below(12), stream = 1; left > 0; left--, stream += random.pick([0, 2, 2, 2, 4])) {
    wire.write(piece(front, random, stream))
    if (random.chance(0.3)) await new Promise((done) => setImmediate(done))
  }
  // Either it answers, or it closes, or it waits for the rest of something: none of it is waited for.
  await Promise.race([wire.closed, new Promise((done) => setTimeout(done, 60))])
  wire.close()
}

attack(
  'P13',
  'frames drawn at random',
  fronts.filter(({ protocol }) => protocol === 'h2'),
  async (front) => {
    const since = recorder.requests.length
    let next = 0
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let index = next++; index < COUNT; index = next++) await converse(front, index)
      }),
    )
    expect(outcomeOf(await ask(stage, front, { held: echo, login, target: '/open/last' }))).toBe('answered 200')
    const arrived = recorder.requests.slice(since)
    expect(arrived.length).toBeGreaterThan(COUNT / 20)
    for (const { target, headers } of arrived) {
      expect(target).toMatch(/^\/(?!closed\/)[!-~]*$/i)
      expect(headers.filter(([name]) => name === 'host')).toEqual([['host', echo.host]])
      expect(headers.filter(([name]) => name === 'authorization')).toEqual([
        ['authorization', `Bearer ${echo.secret()}`],
      ])
    }
    expect(recorder.strays).toEqual([])
    expect(stage.errors).toEqual([])
  },
)
