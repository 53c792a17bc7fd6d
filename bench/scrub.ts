import { randomBytes } from 'node:crypto'
import { needlesOf } from '../src/core/needles.ts'
import type { NeedleSet } from '../src/core/needles.ts'
import { createScrubber, scrubBytes, scrubText } from '../src/core/scrub.ts'

/**
 * Prints how fast answers are scrubbed, in MB of CPU time a second: the median of several rounds over 64 KiB
 * chunks. Then what one small answer and the headers of one answer cost, in microseconds of CPU time.
 */

const CHUNK = 65_536
const CHUNKS = 256
const ROUNDS = 7

const words =
  'the model said that every answer of this kind is only text and so it goes on for a while with numbers like 1024 or 3.14 '
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

function repeated(text: string): Buffer[] {
  return Array.from({ length: 16 }, (_, i) => Buffer.alloc(CHUNK, text.slice(i % text.length) + text))
}

function shuffledWords(write: (text: string) => string): Buffer[] {
  const list = words.split(' ')
  return Array.from({ length: 16 }, () => {
    let text = ''
    while (text.length < CHUNK)
      text += write(`${[...randomBytes(40)].map((byte) => list[byte % list.length] ?? '').join(' ')}\n`)
    return Buffer.from(text.slice(0, CHUNK))
  })
}

function randomText(alphabet: string): Buffer[] {
  return Array.from({ length: 16 }, () =>
    Buffer.from([...randomBytes(CHUNK)].map((byte) => alphabet.charCodeAt(byte % alphabet.length))),
  )
}

function key(length: number, prefix = ''): string {
  return prefix + [...randomBytes(length)].map((byte) => letters.charAt(byte % letters.length)).join('')
}

function speed(needles: NeedleSet, chunks: readonly Buffer[], size = CHUNK): number {
  const pieces = chunks.flatMap((chunk) =>
    Array.from({ length: chunk.length / size }, (_, i) => chunk.subarray(i * size, (i + 1) * size)),
  )
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    let bytes = 0
    const scrubber = createScrubber(needles)
    const start = process.cpuUsage()
    while (bytes < CHUNK * CHUNKS) {
      for (const piece of pieces) {
        scrubber.push(piece)
        bytes += piece.length
      }
    }
    scrubber.end()
    const used = process.cpuUsage(start)
    rounds.push(bytes / (used.user + used.system))
  }
  return rounds.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? 0
}

const prefixes = ['sk-proj-', 'sk-ant-api03-', 'ghp_', 'xoxb-', 'sk_live_', 'glpat-', 'AIza', 'npm_', 'gsk_', 'tvly-']

const SMALL_CALLS = 20_000

function microseconds(call: () => void): number {
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage()
    for (let i = 0; i < SMALL_CALLS; i++) call()
    const used = process.cpuUsage(start)
    rounds.push((used.user + used.system) / SMALL_CALLS)
  }
  return rounds.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? 0
}

const smallAnswer = Buffer.from(
  JSON.stringify({
    id: key(20, 'resp_'),
    model: 'm-1',
    output: [{ type: 'message', content: [{ type: 'output_text', text: words.repeat(6) }] }],
    usage: { input_tokens: 120, output_tokens: 80 },
  }).slice(0, 1024),
)
const headers = [
  ['content-type', 'application/json'],
  ['date', 'Thu, 01 Jan 2026 00:00:00 GMT'],
  ['server', 'cloudflare'],
  ['x-request-id', key(24, 'req_')],
  ['x-ratelimit-remaining-requests', '9999'],
  ['cache-control', 'no-cache, must-revalidate'],
  ['strict-transport-security', 'max-age=31536000; includeSubDomains; preload'],
  ['cf-ray', `${key(16)}-FRA`],
  ['vary', 'Accept-Encoding'],
  ['x-content-type-options', 'nosniff'],
]
  .map(([name, value]) => `${name}\n${value}`)
  .join('\n')

for (const count of (process.argv[2] ?? '10,1000,10000').split(',').map(Number)) {
  const secrets = Array.from({ length: count }, (_, i) => ({
    name: `key${i}`,
    value: Buffer.from(key(24 + (i % 5) * 12, prefixes[i % prefixes.length])),
    replacement: key(30, 'kwp-'),
  }))
  const before = process.cpuUsage()
  const needles = needlesOf(secrets)
  const { user, system } = process.cpuUsage(before)
  const built = (user + system) / 1000
  console.log(
    `${count} secrets, ${needles.count} needles, built in ${built.toFixed(0)} ms of CPU time, ${(process.memoryUsage().arrayBuffers / 1e6).toFixed(0)} MB of buffers`,
  )
  const first = secrets[0]?.value.toString() ?? ''
  const inputs: Readonly<Record<string, Buffer[]>> = {
    words: shuffledWords((text) => text),
    'JSON with \\" and \\n': shuffledWords((text) => `data: {"delta":${JSON.stringify(JSON.stringify(text))}}\n\n`),
    JSON: shuffledWords((text) => `{"id":"${key(20)}","created":1767225600,"text":"${text.trim()}","score":0.8125}`),
    HTML: shuffledWords(
      (text) => `<div class="row"><a href="/p/${key(8)}?q=1&amp;r=2">${text.trim()}</a><br/><b>&nbsp;&lt;1</b></div>\n`,
    ),
    'JSON with \\/': shuffledWords(
      (text) => `{"url":"https:\\/\\/example.test\\/${text.trim().replaceAll(' ', '\\/')}"}`,
    ),
    'percent everywhere': shuffledWords((text) => text.replaceAll(/[a-e]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)),
    'random base64': randomText(`${letters}+/`),
    'random hex': randomText('0123456789abcdef'),
    'random bytes': Array.from({ length: 16 }, () => randomBytes(CHUNK)),
    'prefixes of a needle': repeated(first.slice(0, -1)),
    decoys: Array.from({ length: 16 }, () => Buffer.alloc(CHUNK, prefixes.map((prefix) => key(30, prefix)).join(' '))),
    'every place a hit': repeated(`${first} `),
    'only escapes': repeated(`%25${[...first].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('%25')}`),
  }
  for (const [name, chunks] of Object.entries(inputs))
    console.log(`  ${name.padEnd(24)} ${speed(needles, chunks).toFixed(0).padStart(6)} MB/s`)
  const events = shuffledWords((text) => `data: {"delta":${JSON.stringify(text)}}\n\n`)
  console.log(
    `  ${'answer of 1 KB'.padEnd(24)} ${microseconds(() => scrubBytes(needles, smallAnswer))
      .toFixed(1)
      .padStart(6)} us`,
  )
  console.log(
    `  ${'pushed as a stream'.padEnd(24)} ${microseconds(() => {
      const scrubber = createScrubber(needles)
      scrubber.push(smallAnswer)
      scrubber.end()
    })
      .toFixed(1)
      .padStart(6)} us`,
  )
  console.log(
    `  ${'ten headers'.padEnd(24)} ${microseconds(() => scrubText(needles, headers))
      .toFixed(1)
      .padStart(6)} us`,
  )
  console.log(`  ${'words, 256-byte chunks'.padEnd(24)} ${speed(needles, events, 256).toFixed(0).padStart(6)} MB/s`)
}
