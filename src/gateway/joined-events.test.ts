import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { JOINED_HELD_FROM_LETTERS } from '../core/joined-letters.ts'
import { needlesOf } from '../core/needles.ts'
import { createScrubber } from '../core/scrub.ts'
import { EVENT_OUTLINES_MAXIMUM, EVENT_PLACES_MAXIMUM, EventTexts } from './event-texts.ts'
import { EVENT_LINE_MAXIMUM_BYTES, EVENTS_HELD_MAXIMUM_BYTES, JoinedEvents } from './joined-events.ts'

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
  'line ends of CR alone': (piece) => `event: delta\rdata: ${JSON.stringify({ t: piece })}\r\r`,
  'lines of lists': (piece, at) => `${JSON.stringify(['delta', at, piece])}\n`,
  'indented lines': (piece) => `\t${JSON.stringify({ t: piece })}\r\n`,
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

describe('a place that was forgotten is not let go a second time', () => {
  const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`
  const many = Object.fromEntries(Array.from({ length: EVENT_PLACES_MAXIMUM + 1 }, (_, at) => [`n${at}`, 'x']))

  test.each([
    ['in the same event', [event({ ...many, last: 'zzzz' })]],
    ['in the next one', [event(many), event({ last: 'zzzz' })]],
  ])('%s', (_when, forgetting) => {
    const joined = new JoinedEvents(needles)
    let out = ''
    const push = (text: string): unknown =>
      joined.push(Buffer.from(text), (piece) => void (out += Buffer.from(piece).toString()))
    push(event({ last: secret.slice(0, 20) }))
    for (const text of forgetting) push(text)
    out = ''
    push(event({ other: secret.slice(0, 20) }))
    expect(out).toBe('')
    expect(() => push(event({ other: secret.slice(20) }))).toThrow(expect.objectContaining({ code: 'answer_withheld' }))
  })
})

describe('lines that are like others', () => {
  /** What is known after each line, of a stream whose lines are read by their outlines or not. */
  function told(lines: readonly Buffer[], byOutlines: boolean): (boolean | 'withheld')[] {
    const texts = new EventTexts(needles)
    const known: (boolean | 'withheld')[] = []
    for (const line of lines) {
      try {
        const end = byOutlines ? texts.readLike(line, 0) : -1
        if (end < 0) texts.read(line, 0, line.length - 1)
        else expect(end).toBe(line.length - 1)
      } catch {
        return [...known, 'withheld']
      }
      known.push(texts.isHeld)
    }
    return known
  }

  const piece = fc.oneof(
    { weight: 6, arbitrary: fc.nat({ max: secret.length - 1 }).map((at) => secret.slice(at, at + 1 + (at % 9))) },
    fc.constantFrom(
      secret.slice(0, 20),
      secret.slice(20),
      secret.slice(0, 9),
      ' ',
      '',
      '\n',
      '"',
      '\u00e9',
      '—',
      '!',
      '\ud83d',
    ),
    fc.string({ unit: 'binary', maxLength: 12 }),
  )
  const written = fc.constantFrom(
    ...Object.values(vendors),
    (text: string, at: number) => `data: ${JSON.stringify({ choices: [{ index: at % 3, text }] })}\n`,
    (text: string, at: number) => `${JSON.stringify({ index: at % 2, index_: at, text, id: secret.slice(0, 8) })}\r\n`,
    (text: string) => `data:${JSON.stringify(text)}\n`,
    (text: string) => `data: {"text":"x","text":${JSON.stringify(text)}}\n`,
    (text: string) => `data: {"a":"${text}"}\n`,
    (text: string) =>
      `data: {"a":"${[...text].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"}\n`,
    (text: string) => `data: [${JSON.stringify(text)},null]\n`,
    (text: string) => `data: {"a":${text.length > 4 ? JSON.stringify(text) : 'null'},"b":1e${text.length}}\n`,
    () => 'data: null\n',
    () => 'data: [DONE]\n',
    () => ': comment\nid: 7\n\n',
  )
  const stream = fc
    .tuple(
      fc.array(written, { minLength: 1, maxLength: 4 }),
      fc.array(fc.tuple(piece, fc.boolean()), { maxLength: 40 }),
      fc.boolean(),
    )
    .map(([writers, texts, inOrder]) =>
      texts.flatMap(([text, isOwn], at) => {
        const own = inOrder && isOwn ? secret.slice((at * 5) % secret.length, ((at * 5) % secret.length) + 5) : text
        const line = (writers[at % writers.length] ?? (() => '\n'))(own, at)
        return line.split(/(?<=\n)/).map((part) => Buffer.from(part))
      }),
    )

  test('bring the same texts as JSON.parse', () => {
    fc.assert(
      fc.property(stream, (lines) => {
        expect(told(lines, true)).toEqual(told(lines, false))
      }),
      { numRuns: 1_000 },
    )
  })

  test('bring a long text again that is not the same as the one before', () => {
    const twice = needlesOf([
      { name: 'key', value: Buffer.from(`${secret.slice(8, 20)}q7${secret.slice(8, 20)}r8`), replacement: 'x' },
    ])
    const texts = new EventTexts(twice)
    const push = (text: string): void => {
      const line = Buffer.from(`data: ${JSON.stringify({ id: 'the same', text })}\n`)
      if (texts.readLike(line, 0) < 0) texts.read(line, 0, line.length - 1)
    }
    for (const text of ['begin', secret.slice(8, 20), 'q7', secret.slice(8, 20)]) push(text)
    expect(() => push('r8')).toThrow(expect.objectContaining({ code: 'answer_withheld' }))
  })

  test('bring what their reader makes of them: a number is a piece, null is none', () => {
    const pieces = tokens(secret, 4).map((piece) => (/^(?:[1-9][0-9]*|0)$/.test(piece) ? piece : JSON.stringify(piece)))
    const lines = pieces.flatMap((piece) => [piece, 'null', ' null ']).map((text) => Buffer.from(`data: ${text}\n`))
    expect(told(lines, true).at(-1)).toBe('withheld')
  })

  test('are looked for only in a stream that has some', () => {
    const texts = new EventTexts(needles)
    const isLike = (text: string): boolean => {
      const line = Buffer.from(`data: ${text}\n`)
      if (texts.readLike(line, 0) > 0) return true
      texts.read(line, 0, line.length - 1)
      return false
    }
    for (let at = 0; at < 2 * EVENT_OUTLINES_MAXIMUM - 1; at++) expect(isLike(`{"name${at}":"x"}`)).toBe(false)
    for (const text of ['a', 'b', 'c']) expect(isLike(`{"name":"${text}"}`)).toBe(text !== 'a')
    for (const text of ['a', 'b', 'c', 'd']) expect(isLike(`{"text":"${text}"}`)).toBe(text !== 'a')
    for (let at = 0; at < 5; at++) expect(isLike(`{"more${at}":"x"}`)).toBe(false)
    for (const text of ['a', 'b', 'c']) expect(isLike(`{"last":"${text}"}`)).toBe(false)
    expect(isLike('{"text":"e"}')).toBe(true)
  })

  test('bring a secret one letter a line, in as many kinds of lines as are remembered, and one more', () => {
    for (const kinds of [1, EVENT_OUTLINES_MAXIMUM, EVENT_OUTLINES_MAXIMUM + 1]) {
      const lines = [...secret].map((text, at) =>
        Buffer.from(`data: ${JSON.stringify({ delta: { text }, [`kind${at % kinds}`]: true })}\n`),
      )
      const known = told(lines, true)
      expect(known.at(-1)).toBe('withheld')
      expect(known).toEqual(told(lines, false))
    }
  })
})

/** Events of several vendors in one stream, in all the ways that lines are written in. */
function mixed(text: string): string {
  const event = vendors['messages'] ?? String
  return [
    `: comment\r\nid: 4\r\nretry: 10\r\n\r\n`,
    ...tokens(text, 6).map((piece, at) => {
      const written = event(piece, at)
      return at % 4 === 3 ? `id: ${at}\r\n${written.replaceAll('\n', '\r\n')}` : written
    }),
    `event: two lines\ndata: {"text":\ndata: "${text.slice(0, 9)}"}\n\n`,
    'data: [DONE]\n\n',
    `{"last":"line"}`,
  ].join('')
}

describe('however the bytes are cut', () => {
  const clean = mixed(`The key is ${secret.slice(0, -2)}?? or so — “${secret.slice(5)}”.`)
  const dirty = mixed(`The key is ${secret}, and that is all.`)

  async function through(pieces: readonly string[]): Promise<{ text: string; code: unknown; pieces: number }> {
    const joined = new JoinedEvents(needles)
    const out: Uint8Array[] = []
    let code: unknown = null
    try {
      for (const text of pieces)
        await joined.push(Buffer.from(text, 'latin1'), (piece) => {
          expect(piece.length).toBeGreaterThan(0)
          out.push(piece)
        })
      await joined.end((piece) => void out.push(piece))
    } catch (error) {
      code = error instanceof Error && 'code' in error ? error.code : error
    }
    return { text: Buffer.concat(out).toString('latin1'), code, pieces: out.length }
  }

  const bytes = (text: string): string => Buffer.from(text).toString('latin1')

  test('at every offset', async () => {
    for (let at = 0; at <= clean.length; at++) {
      const whole = bytes(clean)
      expect(await through([whole.slice(0, at), whole.slice(at)]), `${at}`).toMatchObject({ text: whole, code: null })
    }
    for (let at = 0; at <= dirty.length; at++) {
      const whole = bytes(dirty)
      const { text, code } = await through([whole.slice(0, at), whole.slice(at)])
      expect(code, `${at}`).toBe('answer_withheld')
      expect(whole.startsWith(text) && !text.includes(secret.slice(-3)), `${at}`).toBe(true)
    }
  })

  test('byte by byte, an event at a time, several at once', async () => {
    for (const of of [clean, dirty].map(bytes)) {
      const events = of.split(/(?<=\n\r?\n)/)
      const pairs = events.filter((_, at) => at % 2 === 0).map((event, at) => event + (events[2 * at + 1] ?? ''))
      for (const pieces of [[...of], events, pairs, [of]]) {
        const { text, code } = await through(pieces)
        expect(code).toBe(of === bytes(clean) ? null : 'answer_withheld')
        if (code === null) expect(text).toBe(of)
        else expect(of.startsWith(text)).toBe(true)
      }
    }
  })

  test('each event goes on with its last byte, in one piece', async () => {
    for (const write of Object.values(vendors)) {
      const joined = new JoinedEvents(needles)
      for (let at = 0; at < 50; at++) {
        const event = write(`word ${at}`, at)
        const out: string[] = []
        await joined.push(Buffer.from(event), (piece) => void out.push(Buffer.from(piece).toString()))
        expect(out).toEqual([event])
      }
    }
  })
})
