import { createHash } from 'node:crypto'
import { needlesOf, type NeedleSet } from '../../src/core/needles.ts'
import { frameOf, FrameReader, type FrameFault } from '../../src/gateway/websocket/frames.ts'
import { MessageWriter } from '../../src/gateway/websocket/messages.ts'
import type { Random } from '../attacks/corpus/random.ts'
import { cut, mutate } from './mutate.ts'

const KINDS = ['text', 'binary', null, null, null, 'ping', 'pong', 'close'] as const
const TEXTS = ['', 'a', '{"d":{"token":"x"}}', 'ä€😀', '\u0003è', 'x'.repeat(126), 'x'.repeat(70_000)]

/** The same in every run, so that a seed says it all. */
const secret = createHash('sha256').update('frames').digest('base64url').slice(0, 24)
const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }])

/** Frames as a service might send them, in an order that is often right, some with the secret in pieces. */
function conversation(random: Random): Buffer {
  const frames: Buffer[] = []
  for (let left = 1 + random.below(8); left > 0; left--) {
    const kind = random.pick([...KINDS])
    const text = random.pick(TEXTS)
    const at = random.below(secret.length + 1)
    const control = kind === 'ping' || kind === 'pong' || kind === 'close'
    if (!control && random.chance(0.3)) {
      frames.push(frameOf(kind, false, [Buffer.from(secret.slice(0, at))], null))
      if (random.chance(0.3)) frames.push(frameOf('ping', true, [], null))
      frames.push(frameOf(null, random.chance(0.8), [Buffer.from(secret.slice(at))], null))
    } else
      frames.push(
        frameOf(
          kind,
          control || random.chance(0.7),
          [Buffer.from(random.chance(0.3) ? secret : text).subarray(0, control ? 125 : 100_000)],
          null,
        ),
      )
  }
  return Buffer.concat(frames)
}

interface Passed {
  readonly out: Buffer
  readonly fault: FrameFault | null
}

function pass(pieces: readonly Buffer[], searched: NeedleSet | null): Passed {
  const frames: Buffer[] = []
  const writer = new MessageWriter({
    mask: null,
    needles: searched === null ? null : () => searched,
    swap: null,
    write: (frame) => void frames.push(frame),
  })
  const reader = new FrameReader(false, writer)
  let fault: FrameFault | null = null
  for (const piece of pieces) {
    fault ??= reader.push(Buffer.from(piece))
    if (!reader.midFrame) writer.flush()
  }
  return { out: Buffer.concat(frames), fault }
}

/** The payloads of whole messages and of control frames, each by itself; null: they cannot be read. */
function payloadsOf(bytes: Buffer): string[] | null {
  const payloads: string[] = []
  let open: Buffer[] = []
  const reader = new FrameReader(false, {
    begin() {
      open = []
      return null
    },
    data(piece) {
      open.push(Buffer.from(piece))
      return null
    },
    end() {
      payloads.push(Buffer.concat(open).toString('latin1'))
      return null
    },
    control(kind, payload) {
      payloads.push(`${kind} ${payload.toString('latin1')}`)
      return null
    },
  })
  return reader.push(Buffer.from(bytes)) === null ? payloads : null
}

/** What is wrong with what becomes of a service's frames, or null. */
export function framesFault(random: Random): { readonly bytes: Uint8Array; readonly what: string } | null {
  const said = conversation(random)
  const bytes = random.chance(0.5) ? said : mutate(said, conversation(random), random)
  const pieces = cut(bytes, random)
  for (const passed of [pass([bytes], needles), pass(pieces, needles)]) {
    const payloads = payloadsOf(passed.out)
    if (payloads === null) return { bytes, what: 'what is passed on cannot be read' }
    if (payloads.some((payload) => payload.includes(secret))) return { bytes, what: 'the secret came through' }
  }
  // That a search does not depend on the cuts is the scrubber's to show.
  const [whole, cutUp] = [pass([bytes], null), pass(pieces, null)]
  const [payloads, others] = [payloadsOf(whole.out) ?? [], payloadsOf(cutUp.out) ?? []]
  // Where there are two faults, the cuts decide which is met first; what was passed on until then is the same.
  const faulty = whole.fault !== null || cutUp.fault !== null
  const count = faulty ? Math.min(payloads.length, others.length) : Math.max(payloads.length, others.length)
  const same = JSON.stringify(payloads.slice(0, count)) === JSON.stringify(others.slice(0, count))
  return same ? null : { bytes, what: 'cut into pieces it is passed on differently' }
}
