import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { JOINED_HELD_FROM_LETTERS } from '../core/joined-letters.ts'
import { needlesOf } from '../core/needles.ts'
import { createScrubber } from '../core/scrub.ts'
import {
  EVENT_LINE_MAXIMUM_BYTES,
  EVENT_PLACES_MAXIMUM,
  EVENTS_HELD_MAXIMUM_BYTES,
  JoinedEvents,
} from './joined-events.ts'

const secret = `sk-proj-${randomBytes(20).toString('hex')}`
const long = randomBytes(600).toString('base64')
const needles = needlesOf([
  { name: 'key', value: Buffer.from(secret), replacement: 'x' },
  { name: 'long', value: Buffer.from(long), replacement: 'y' },
])

/** How vendors write one piece of a text. */
const vendors: Readonly<Record<string, (piece: string, at: number) => string>> = {
  'chat completions': (piece) =>
    `data: ${JSON.stringify({ id: 'chatcmpl-Bv7pQ2x', object: 'chat.completion.chunk', created: 1, model: 'gpt-x', choices: [{ index: 0, delta: { content: piece }, logprobs: null, finish_reason: null }] })}\n\n`,
  responses: (piece, at) =>
    `event: response.output_text.delta\ndata: ${JSON.stringify({ type: 'response.output_text.delta', item_id: 'msg_1', output_index: 0, content_index: 0, delta: piece, sequence_number: at })}\n\n`,
  messages: (piece) =>
    `event: content_block_delta\ndata: ${JSON.stringify({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: piece } })}\n\n`,
  'tool input': (piece) =>
    `event: content_block_delta\ndata: ${JSON.stringify({ type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: piece } })}\n\n`,
  'generated content': (piece) =>
    `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text: piece }], role: 'model' }, index: 0 }], modelVersion: 'g' })}\r\n\r\n`,
  'lines of JSON': (piece) =>
    `${JSON.stringify({ model: 'm', message: { role: 'assistant', content: piece }, done: false })}\n`,
  'plain text': (piece) => `data: ${piece}\n\n`,
}

/** Pieces of 1 to `most` characters, as tokens are. */
function tokens(text: string, most: number): string[] {
  const pieces: string[] = []
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const length = 1 + ((turn * 5) % most)
    pieces.push(text.slice(at, at + length))
    at += length
  }
  return pieces
}

/** What passes, event by event, through scrubber and joining as an answer does. */
async function passed(events: readonly string[], chunkBytes = Infinity): Promise<{ text: string; code: unknown }> {
  const scrubber = createScrubber(needles)
  const joined = new JoinedEvents(needles)
  const out: Uint8Array[] = []
  const sink = (piece: Uint8Array): void => void out.push(piece)
  const text = (): string => Buffer.concat(out).toString()
  try {
    for (const event of events) {
      const bytes = Buffer.from(event)
      for (let at = 0; at < bytes.length; at += chunkBytes)
        for (const piece of scrubber.push(bytes.subarray(at, at + chunkBytes))) await joined.push(piece, sink)
    }
    for (const piece of scrubber.end()) await joined.push(piece, sink)
    await joined.end(sink)
    return { text: text(), code: null }
  } catch (error) {
    return { text: text(), code: error instanceof Error && 'code' in error ? error.code : error }
  }
}

/** What a reader makes of the events: all short texts of each, joined. */
const readable = (text: string, write: (piece: string, at: number) => string): string => {
  const [head = '', tail = ''] = write('\u0000', 0).replace('\\u0000', '\u0000').split('\u0000')
  const found: string[] = []
  for (let at = text.indexOf(head); at >= 0; at = text.indexOf(head, at + 1)) {
    const end = text.indexOf(tail.slice(0, 3), at + head.length)
    if (end >= 0) found.push(text.slice(at + head.length, end))
  }
  return found.join('')
}

describe.each(Object.entries(vendors))('R3: a secret one token an event, %s', (name, write) => {
  test.each([1, 4, 8])('of at most %i characters', async (most) => {
    for (const [what, value] of [
      ['as it is', secret],
      ['base64', Buffer.from(secret).toString('base64')],
      ['long', long],
    ] as const) {
      const events = tokens(`The key is ${value}, and that is all.`, most).map(write)
      for (const chunkBytes of [Infinity, 7]) {
        const { text, code } = await passed(events, chunkBytes)
        expect(code, what).toBe('answer_withheld')
        expect(events.join('').startsWith(text), what).toBe(true)
        if (name === 'responses') continue
        const letters = readable(text, write).replaceAll(/[^A-Za-z0-9]/g, '')
        const value7 = value.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, JOINED_HELD_FROM_LETTERS)
        expect(letters.includes(value7), `${what}: the beginning of the secret`).toBe(false)
      }
    }
  })

  test('what is none passes as it is', async () => {
    const events = tokens(`The key is ${secret.slice(0, -1)}!, or sk-proj-, or ${secret.slice(3)} `.repeat(3), 5).map(
      write,
    )
    for (const chunkBytes of [Infinity, 7])
      expect(await passed(events, chunkBytes)).toEqual({ text: events.join(''), code: null })
  })
})

test('R3: two texts that come in turns are told apart', async () => {
  const pieces = tokens(secret, 4)
  const choice = (index: number, content: string): string =>
    `data: ${JSON.stringify({ choices: [{ index, delta: { content } }] })}\n\n`
  const { code } = await passed(pieces.flatMap((piece) => [choice(0, piece), choice(1, 'other words ')]))
  expect(code).toBe('answer_withheld')
})

test('an event goes on with its last byte, unless it may belong to a secret', () => {
  const joined = new JoinedEvents(needles)
  const write = vendors['chat completions'] ?? ((piece) => piece)
  let out = ''
  const push = (text: string): void =>
    void joined.push(Buffer.from(text), (piece) => void (out += Buffer.from(piece).toString()))
  push(write('Hello', 0))
  expect(out).toBe(write('Hello', 0))
  out = ''
  const begun = write(secret.slice(0, 14), 0)
  push(begun)
  expect(out).toBe('')
  push(': keep-alive\n\n')
  expect(out).toBe('')
  push(write('?!', 0) + write('no', 0))
  expect(out).toBe(`${begun}: keep-alive\n\n${write('?!', 0)}${write('no', 0)}`)
})

test('places are bounded, and forgetting them lets nothing wait for ever', async () => {
  const events = [
    `data: ${secret.slice(0, 20)}\n\n`,
    `data: ${JSON.stringify(Object.fromEntries(Array.from({ length: EVENT_PLACES_MAXIMUM + 1 }, (_, at) => [`n${at}`, 'x'])))}\n\n`,
  ]
  const joined = new JoinedEvents(needles)
  let out = ''
  for (const event of events)
    await joined.push(Buffer.from(event), (piece) => void (out += Buffer.from(piece).toString()))
  expect(out).toBe(events.join(''))
})

test('lines and waiting events are bounded', async () => {
  const line = `data: ${'x'.repeat(2 * EVENT_LINE_MAXIMUM_BYTES)}`
  const joined = new JoinedEvents(needles)
  let out = 0
  for (let at = 0; at < line.length; at += 4096) {
    await joined.push(Buffer.from(line.slice(at, at + 4096)), (piece) => void (out += piece.length))
    expect(at - out).toBeLessThanOrEqual(EVENT_LINE_MAXIMUM_BYTES)
  }
  expect(await passed([line, '\n\n'])).toEqual({ text: `${line}\n\n`, code: null })
  const waiting = [
    `data: ${secret.slice(0, 20)}\n\n`,
    ...Array.from({ length: 40 }, () => `: ${'.'.repeat(EVENTS_HELD_MAXIMUM_BYTES / 32)}\n`),
  ]
  expect((await passed(waiting)).code).toBe('answer_withheld')
})
