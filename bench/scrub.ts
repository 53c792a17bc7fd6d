import { randomBytes } from 'node:crypto'
import { needlesOf } from '../src/core/needles.ts'
import type { NeedleSet } from '../src/core/needles.ts'
import { createScrubber } from '../src/core/scrub.ts'

/** Prints how fast answers are scrubbed, in MB/s on one core: the median of several rounds over 64 KiB chunks. */

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

for (const count of [10, 100, 10_000]) {
  const secrets = Array.from({ length: count }, (_, i) => ({
    name: `key${i}`,
    value: Buffer.from(key(24 + (i % 5) * 12, prefixes[i % prefixes.length])),
    replacement: key(30, 'kwp-'),
  }))
  const before = performance.now()
  const needles = needlesOf(secrets)
  const built = performance.now() - before
  console.log(
    `${count} secrets, ${needles.count} needles, built in ${built.toFixed(0)} ms, ${(process.memoryUsage().arrayBuffers / 1e6).toFixed(0)} MB of buffers`,
  )
  const first = secrets[0]?.value.toString() ?? ''
  const inputs: Readonly<Record<string, Buffer[]>> = {
    words: shuffledWords((text) => text),
    'JSON with \\" and \\n': shuffledWords((text) => `data: {"delta":${JSON.stringify(JSON.stringify(text))}}\n\n`),
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
  console.log(`  ${'words, 256-byte chunks'.padEnd(24)} ${speed(needles, events, 256).toFixed(0).padStart(6)} MB/s`)
}
