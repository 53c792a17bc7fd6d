import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FRAME_MAXIMUM_BYTES, frameOf, FrameReader, type FrameFault, type FrameSink } from './frames.ts'
import { createMasks } from './masks.ts'

type Event = readonly [what: string, payload: string]

/** Reads `bytes`, cut at the given sizes, and tells what was read. */
function read(
  bytes: Buffer,
  masked: boolean,
  sizes: readonly number[] = [],
): { events: Event[]; fault: FrameFault | null } {
  const events: Event[] = []
  let kind = ''
  let pieces: Buffer[] = []
  const sink: FrameSink = {
    begin(begun) {
      kind = begun
      pieces = []
      return null
    },
    data(piece) {
      pieces.push(Buffer.from(piece))
      return null
    },
    end() {
      events.push([kind, Buffer.concat(pieces).toString('hex')])
      return null
    },
    control(control, payload) {
      events.push([control, payload.toString('hex')])
      return null
    },
  }
  const reader = new FrameReader(masked, sink)
  // Reading takes the masks off where they lie.
  const copy = Buffer.from(bytes)
  let fault: FrameFault | null = null
  let at = 0
  for (const size of [...sizes, copy.length]) {
    fault ??= reader.push(copy.subarray(at, at + size))
    at = Math.min(copy.length, at + size)
  }
  return { events, fault }
}

const masks = createMasks()
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(125, 126, 127, 65_535, 65_536).map((length) => new Uint8Array(length).fill(7)),
)
const message = fc.record({
  kind: fc.constantFrom('text' as const, 'binary' as const),
  fragments: fc.array(payload, { minLength: 1, maxLength: 4 }),
  between: fc.array(
    fc.record({ kind: fc.constantFrom('ping' as const, 'pong' as const), payload: fc.uint8Array({ maxLength: 125 }) }),
    { maxLength: 2 },
  ),
})

describe.each([true, false])('masked: %j', (masked) => {
  const mask = (): Uint8Array | null => (masked ? masks() : null)

  test('what was written is read, however it is fragmented and cut', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 4 }),
        fc.array(fc.nat({ max: 200 }), { maxLength: 60 }),
        (messages, sizes) => {
          const frames: Buffer[] = []
          const expected: Event[] = []
          for (const { kind, fragments, between } of messages) {
            fragments.forEach((fragment, index) => {
              frames.push(frameOf(index === 0 ? kind : null, index === fragments.length - 1, [fragment], mask()))
              if (index > 0) return
              for (const control of between) {
                frames.push(frameOf(control.kind, true, [control.payload], mask()))
                if (fragments.length > 1) expected.push([control.kind, Buffer.from(control.payload).toString('hex')])
              }
            })
            expected.push([kind, Buffer.concat(fragments).toString('hex')])
            if (fragments.length === 1)
              for (const control of between) expected.push([control.kind, Buffer.from(control.payload).toString('hex')])
          }
          expect(read(Buffer.concat(frames), masked, sizes)).toEqual({ events: expected, fault: null })
        },
      ),
    )
  })
})

/** The head of a frame, bit by bit. */
function raw(first: number, second: number, ...rest: number[]): Buffer {
  return Buffer.from([first, second, ...rest])
}
const length64 = (value: bigint): number[] => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return [...bytes]
}

const broken: readonly (readonly [name: string, bytes: Buffer, closeCode: number])[] = [
  ['a first reserved bit (compression)', raw(0xc1, 0x00), 1002],
  ['a second reserved bit', raw(0xa1, 0x00), 1002],
  ['a third reserved bit', raw(0x91, 0x00), 1002],
  ['a reserved bit on a control frame', raw(0xc9, 0x00), 1002],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`opcode ${opcode}`, raw(0x80 | opcode, 0x00), 1002] as const),
  ['a mask from the side that has none', raw(0x81, 0x80, 1, 2, 3, 4), 1002],
  ['a fragmented ping', raw(0x09, 0x00), 1002],
  ['a long ping', raw(0x89, 126, 0, 126), 1002],
  ['a continuation of nothing', raw(0x80, 0x00), 1002],
  ['a message within a message', Buffer.concat([raw(0x01, 0x00), raw(0x81, 0x00)]), 1002],
  ['a continuation of what has ended', Buffer.concat([raw(0x81, 0x00), raw(0x80, 0x00)]), 1002],
  ['a length of 125 in two bytes', raw(0x82, 126, 0, 125), 1002],
  ['a length of 65,535 in eight bytes', raw(0x82, 127, ...length64(65_535n)), 1002],
  ['a length with its highest bit set', raw(0x82, 127, ...length64(2n ** 63n)), 1002],
  ['a length beyond every message', raw(0x82, 127, ...length64(BigInt(FRAME_MAXIMUM_BYTES) + 1n)), 1009],
  ['a length that no number holds', raw(0x82, 127, ...length64(2n ** 63n - 1n)), 1009],
]

describe('refused', () => {
  test.each(broken)('%s', (_, bytes, closeCode) => {
    const whole = read(bytes, false)
    expect(whole.fault?.closeCode).toBe(closeCode)
    expect(
      read(
        bytes,
        false,
        bytes.toJSON().data.map(() => 1),
      ).fault,
    ).toEqual(whole.fault)
  })

  test('a frame without a mask, from the side that has one', () => {
    expect(read(raw(0x81, 0x00), true).fault?.closeCode).toBe(1002)
  })

  test('and nothing is read behind it', () => {
    const bytes = Buffer.concat([raw(0xc1, 0x00), frameOf('text', true, [Buffer.from('later')], null)])
    expect(read(bytes, false).events).toEqual([])
  })
})

test('the longest length is read as it is, without waiting for what it announces', () => {
  const { events, fault } = read(raw(0x82, 127, ...length64(BigInt(FRAME_MAXIMUM_BYTES)), 1, 2, 3), false)
  expect({ events, fault }).toEqual({ events: [], fault: null })
})

test('no mask is used for two frames', () => {
  const draw = createMasks()
  const seen = new Set(Array.from({ length: 3_000 }, () => Buffer.from(draw()).toString('hex')))
  expect(seen.size).toBeGreaterThan(2_990)
})
