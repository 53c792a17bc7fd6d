import { randomBytes } from 'node:crypto'
import { isUtf8 } from 'node:buffer'
import { Writable } from 'node:stream'
import fc from 'fast-check'
import * as ws from 'ws'
import { describe, expect, test } from 'vitest'
import { needlesOf } from '../../core/needles.ts'
import { frameOf, FrameReader, type ControlKind, type FrameFault, type MessageKind } from './frames.ts'
import { createMasks } from './masks.ts'
import { FRAGMENT_MAXIMUM_BYTES, MessageWriter, type Onward } from './messages.ts'
import { FRAME_SWAP_MAXIMUM_BYTES, FRAME_SWAP_MAXIMUM_MESSAGES } from './swap.ts'

const secret = randomBytes(18).toString('base64url')
const needles = needlesOf([{ name: 'k', value: Buffer.from(secret), replacement: '[k]' }])
const masks = createMasks()

/** The bytes of one direction as they are written on, and what was counted. */
function through(
  bytes: Buffer,
  options: { readonly sizes?: readonly number[]; readonly masked?: boolean } & Partial<Onward> = {},
): { out: Buffer; writer: MessageWriter; fault: FrameFault | null; frames: Buffer[] } {
  const { sizes = [], masked = false, needles: searched = null, swap = null } = options
  const frames: Buffer[] = []
  const writer = new MessageWriter({
    mask: masked ? masks : null,
    needles: searched,
    swap,
    write: (frame) => void frames.push(frame),
  })
  const reader = new FrameReader(masked, writer)
  const copy = Buffer.from(bytes)
  let fault: FrameFault | null = null
  let at = 0
  for (const size of [...sizes, copy.length]) {
    fault ??= reader.push(copy.subarray(at, at + size))
    if (!reader.midFrame) writer.flush()
    at = Math.min(copy.length, at + size)
  }
  return { out: Buffer.concat(frames), writer, fault, frames }
}

type Heard = readonly [what: string, value: string]

/** What the receiver of the `ws` package makes of the bytes. */
async function heardByWs(bytes: Buffer, isServer: boolean): Promise<{ heard: Heard[]; failed: boolean }> {
  const Receiver: unknown = Reflect.get(ws, 'Receiver')
  if (typeof Receiver !== 'function') throw new Error('ws has no Receiver any more.')
  const receiver: unknown = Reflect.construct(Receiver, [{ isServer }])
  if (!(receiver instanceof Writable)) throw new Error('The Receiver of ws is no stream any more.')
  const heard: Heard[] = []
  receiver.on('message', (data: Buffer, binary: boolean) =>
    heard.push([binary ? 'binary' : 'text', data.toString('hex')]),
  )
  receiver.on('ping', (data: Buffer) => heard.push(['ping', data.toString('hex')]))
  receiver.on('pong', (data: Buffer) => heard.push(['pong', data.toString('hex')]))
  receiver.on('conclude', (code: number, reason: Buffer) => heard.push(['close', `${code} ${reason.toString('hex')}`]))
  const failed = await new Promise<boolean>((done) => {
    receiver.once('error', () => done(true))
    receiver.end(Buffer.from(bytes), () => done(false))
  })
  return { heard, failed }
}

const text = fc.string({ unit: 'grapheme', maxLength: 30 }).map((value) => Buffer.from(value))
const anyBytes = fc.uint8Array({ maxLength: 30 }).map((value) => Buffer.from(value))
const close = fc
  .tuple(fc.constantFrom(999, 1000, 1004, 1005, 1006, 1011, 1014, 1015, 1016, 2999, 3000, 4999, 5000), text)
  .map(([code, reason]) => {
    const bytes = Buffer.alloc(2 + reason.length)
    bytes.writeUInt16BE(code)
    bytes.set(reason, 2)
    return bytes
  })
const part = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom<MessageKind>('text', 'binary'), fc.boolean(), text) },
  { weight: 4, arbitrary: fc.tuple(fc.constant(null), fc.boolean(), text) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom<MessageKind>('text', 'binary'), fc.boolean(), anyBytes) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom<ControlKind>('ping', 'pong'), fc.constant(true), anyBytes) },
  { weight: 1, arbitrary: fc.tuple(fc.constant<ControlKind>('close'), fc.constant(true), close) },
)
const damage = fc.option(fc.tuple(fc.nat({ max: 200 }), fc.nat({ max: 255 })), { freq: 4 })
const cuts = fc.array(fc.nat({ max: 12 }), { maxLength: 80 })

test.each([true, false])(
  'ws hears of what is written on what it would have heard itself, or both refuse (masked: %j)',
  async (masked) => {
    let accepted = 0
    let refused = 0
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), damage, cuts, async (parts, damaged, sizes) => {
        const bytes = Buffer.concat(
          parts.map(([kind, final, payload]) => frameOf(kind, final, [payload], masked ? masks() : null)),
        )
        if (damaged !== null && bytes.length > 0) bytes[damaged[0] % bytes.length] = damaged[1]
        const { out, fault } = through(bytes, { sizes, masked })
        const [itself, behind] = [await heardByWs(bytes, masked), await heardByWs(out, masked)]
        expect(behind.failed, 'what is written on can be read').toBe(false)
        expect(behind.heard).toEqual(itself.heard.slice(0, behind.heard.length))
        if (fault === null) {
          accepted++
          expect(behind.heard).toEqual(itself.heard)
          expect(itself.failed && !itself.heard.some(([what]) => what === 'close')).toBe(false)
        } else refused++
      }),
      { numRuns: 1_000 },
    )
    expect(Math.min(accepted, refused)).toBeGreaterThan(100)
  },
)

/** The payload of the messages that `out` holds. */
async function payloads(out: Buffer, masked = false): Promise<string[]> {
  const { heard, failed } = await heardByWs(out, masked)
  expect(failed).toBe(false)
  return heard.map(([, hex]) => Buffer.from(hex, 'hex').toString('latin1'))
}

describe('a secret in a message', () => {
  const message = Buffer.from(`{"key":"${secret}","more":"…"}`)
  const clean = message.toString('latin1').replace(secret, '[k]')

  test.each(['text', 'binary'] as const)('%s, split into two fragments at every place', async (kind) => {
    for (let at = 0; at <= message.length; at++) {
      const bytes = Buffer.concat([
        frameOf(kind, false, [message.subarray(0, at)], null),
        frameOf('ping', true, [Buffer.from('still there?')], null),
        frameOf(null, true, [message.subarray(at)], null),
      ])
      const { out, writer, fault } = through(bytes, { needles: () => needles })
      expect(fault).toBeNull()
      expect(await payloads(out)).toEqual(['still there?', clean])
      expect(writer.hits).toBe(1)
    }
  })

  test('in one frame, cut into two chunks at every place', async () => {
    const bytes = frameOf('text', true, [message], null)
    for (let at = 0; at <= bytes.length; at++) {
      const { out, frames } = through(bytes, { sizes: [at], needles: () => needles })
      expect(await payloads(out)).toEqual([clean])
      // Nothing is gained by sending a small message in pieces.
      expect(frames).toHaveLength(1)
    }
  })

  test('in fragments of one byte each, some of them empty', async () => {
    const frames = [...message].flatMap((byte, index) => [
      frameOf(index === 0 ? 'text' : null, false, [Buffer.from([byte])], null),
      frameOf(null, false, [], null),
    ])
    const bytes = Buffer.concat([...frames, frameOf(null, true, [], null)])
    for (const size of [1, 3, bytes.length]) {
      const sizes = Array.from({ length: Math.ceil(bytes.length / size) }, () => size)
      expect(await payloads(through(bytes, { sizes, needles: () => needles }).out)).toEqual([clean])
    }
  })

  test('in pings, pongs and the reason of a Close', async () => {
    const reason = Buffer.concat([Buffer.from([0x03, 0xe8]), Buffer.from(`no: ${secret}`)])
    const bytes = Buffer.concat([
      frameOf('ping', true, [Buffer.from(secret)], null),
      frameOf('pong', true, [Buffer.from(secret)], null),
      frameOf('close', true, [reason], null),
    ])
    const { out, writer } = through(bytes, { needles: () => needles })
    expect(out.includes(secret)).toBe(false)
    expect((await heardByWs(out, false)).heard.at(-1)).toEqual([
      'close',
      `1000 ${Buffer.from('no: [k]').toString('hex')}`,
    ])
    expect(writer.hits).toBe(3)
  })

  test('a replacement that is longer than the secret leaves control frames within their bound', () => {
    const wordy = needlesOf([{ name: 'k', value: Buffer.from(secret), replacement: 'é'.repeat(100) }])
    const reason = Buffer.concat([Buffer.from([0x03, 0xe8]), Buffer.from(secret)])
    for (const bytes of [frameOf('ping', true, [Buffer.from(secret)], null), frameOf('close', true, [reason], null)]) {
      const { out } = through(bytes, { needles: () => wordy })
      expect(out[1]).toBeLessThanOrEqual(125)
      expect(out.includes(secret)).toBe(false)
    }
    expect(isUtf8(through(frameOf('close', true, [reason], null), { needles: () => wordy }).out.subarray(4))).toBe(true)
  })

  test('is replaced in each message by what is known when it begins', async () => {
    let known = needlesOf([])
    const frames: Buffer[] = []
    const writer = new MessageWriter({
      mask: null,
      needles: () => known,
      swap: null,
      write: (frame) => void frames.push(frame),
    })
    const reader = new FrameReader(false, writer)
    reader.push(frameOf('text', true, [message], null))
    known = needles
    reader.push(frameOf('text', true, [message], null))
    expect(await payloads(Buffer.concat(frames))).toEqual([message.toString('latin1'), clean])
  })
})

test('a message is never held whole: a long frame goes on in pieces', () => {
  const frames: Buffer[] = []
  const writer = new MessageWriter({
    mask: null,
    needles: () => needles,
    swap: null,
    write: (frame) => void frames.push(frame),
  })
  const reader = new FrameReader(false, writer)
  const total = 1024 * 1024
  const bytes = frameOf('binary', true, [Buffer.alloc(total, 'x')], null)
  let held = 0
  for (let at = 0; at < bytes.length; at += 10_000) {
    reader.push(bytes.subarray(at, at + 10_000))
    held = Math.max(held, Math.min(at + 10_000, total) - frames.reduce((sum, frame) => sum + frame.length, 0))
  }
  expect(held).toBeLessThan(FRAGMENT_MAXIMUM_BYTES + 10_000)
  expect(writer).toMatchObject({ messages: 1, bytes: total })
  expect(Math.max(...frames.map((frame) => frame.length))).toBeLessThan(FRAGMENT_MAXIMUM_BYTES + 20_000)
})

test('a flood of tiny fragments comes out as few frames', () => {
  const tiny = Buffer.concat(Array.from({ length: 20_000 }, () => frameOf(null, false, [Buffer.from('x')], null)))
  const bytes = Buffer.concat([frameOf('binary', false, [], null), tiny, frameOf(null, true, [], null)])
  const sizes = Array.from({ length: 10 }, () => Math.ceil(bytes.length / 10))
  const { frames, writer } = through(bytes, { sizes, needles: () => needles })
  expect(writer.bytes).toBe(20_000)
  expect(frames.length).toBeLessThanOrEqual(11)
})

test('text that is not UTF-8 is refused, also where it is cut within a character', () => {
  const fault = { closeCode: 1007 }
  const euro = Buffer.from('€')
  expect(through(frameOf('text', true, [Buffer.from([0xff])], null)).fault).toMatchObject(fault)
  expect(through(frameOf('text', true, [euro.subarray(0, 2)], null)).fault).toMatchObject(fault)
  const halves = [frameOf('text', false, [euro.subarray(0, 1)], null), frameOf(null, true, [euro.subarray(1)], null)]
  expect(through(Buffer.concat(halves)).fault).toBeNull()
  expect(through(frameOf('binary', true, [Buffer.from([0xff])], null)).fault).toBeNull()
})

test('behind a Close frame nothing goes on', async () => {
  const bytes = Buffer.concat([
    frameOf('text', false, [Buffer.from('unfinished')], null),
    frameOf('close', true, [Buffer.from([0x03, 0xe8])], null),
    frameOf(null, true, [Buffer.from('late')], null),
    frameOf('ping', true, [Buffer.from('late')], null),
  ])
  const { out, writer } = through(bytes, { needles: () => needles })
  expect(out.includes('late')).toBe(false)
  expect(writer.closed).toBe(true)
})

describe('a placeholder in a message of the client', () => {
  const placeholder = `kwp${randomBytes(16).toString('hex')}`
  const swap = {
    places: [{ pointer: '/d/token', field: 'key' }],
    standsFor: (found: string, field: string) => (found === placeholder && field === 'key' ? secret : null),
  }
  const sent = async (...messages: (string | Buffer)[]): Promise<{ got: string[]; swapped: number }> => {
    const bytes = Buffer.concat(
      messages.map((one) => frameOf(typeof one === 'string' ? 'text' : 'binary', true, [Buffer.from(one)], masks())),
    )
    const { out, writer } = through(bytes, { masked: true, swap })
    return { got: await payloads(out, true), swapped: writer.swapped }
  }

  test('is replaced where the service allows it, and nothing else of the message changes', async () => {
    const message = ` {"op": 2,\n"d" : {"token":"${placeholder}", "copy":"${placeholder}", "n":1.0}} `
    const { got, swapped } = await sent(message)
    expect(got).toEqual([message.replace(placeholder, secret)])
    expect(swapped).toBe(1)
  })

  test.each([
    ['elsewhere', `{"token":"${placeholder}"}`],
    ['with something around it', `{"d":{"token":"Bot ${placeholder}"}}`],
    ['written with an escape', `{"d":{"token":"\\u006b${placeholder.slice(1)}"}}`],
    ['under a name that stands twice', `{"d":{"token":"${placeholder}","token":"x"}}`],
    ['in a text that is no JSON', `{"d":{"token":"${placeholder}"}`],
    ['of somebody else', `{"d":{"token":"${placeholder}x"}}`],
  ])('%s stays', async (_, message) => expect(await sent(message)).toEqual({ got: [message], swapped: 0 }))

  test('in a binary message stays', async () => {
    const message = Buffer.from(`{"d":{"token":"${placeholder}"}}`)
    expect(await sent(message)).toEqual({ got: [message.toString('latin1')], swapped: 0 })
  })

  test('a message beyond the bound passes as it is; one at the bound is looked at', async () => {
    const padded = (length: number): string => {
      const start = `{"d":{"token":"${placeholder}"},"p":"`
      return `${start}${'x'.repeat(length - start.length - 2)}"}`
    }
    const at = padded(FRAME_SWAP_MAXIMUM_BYTES)
    const beyond = padded(FRAME_SWAP_MAXIMUM_BYTES + 1)
    const { got, swapped } = await sent(beyond, at)
    expect(got).toEqual([beyond, at.replace(placeholder, secret)])
    expect(swapped).toBe(1)
  })

  test('only the first messages of a connection are looked at', async () => {
    const message = `{"d":{"token":"${placeholder}"}}`
    const messages = Array.from({ length: FRAME_SWAP_MAXIMUM_MESSAGES + 1 }, () => message)
    const { got, swapped } = await sent(...messages)
    expect(swapped).toBe(FRAME_SWAP_MAXIMUM_MESSAGES)
    expect(got.at(-1)).toBe(message)
  })

  test('is found in a message that comes in fragments, with a secret that JSON must escape', async () => {
    const awkward = `${secret}"\\`
    const message = `{"d":{"token":"${placeholder}"}}`
    const frames = [...message].map((character, index) =>
      frameOf(index === 0 ? 'text' : null, index === message.length - 1, [Buffer.from(character)], masks()),
    )
    const { out } = through(Buffer.concat(frames), { masked: true, swap: { ...swap, standsFor: () => awkward } })
    const [got = ''] = await payloads(out, true)
    expect(JSON.parse(got)).toEqual({ d: { token: awkward } })
  })
})
