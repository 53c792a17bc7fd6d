import type { Random } from '../attacks/corpus/random.ts'

/** What parsers trip over, put in whole. */
const TOKENS = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '"',
  '%',
  '%00',
  '%2e',
  '%2f',
  '/',
  '//',
  '..',
  '@',
  '#',
  '\\',
  '[',
  ']',
  '0',
  '5',
  'ffffffff',
  '-1',
  '+',
  'chunked',
  'identity',
  'Transfer-Encoding: chunked\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Host: x\r\n',
  'Connection: close\r\n',
  'Expect: 100-continue\r\n',
  'GET / HTTP/1.1\r\n',
  'HTTP/1.1',
  'HTTP/1.0',
  '0\r\n\r\n',
  '5\r\nhello\r\n',
  '\x0b',
  '\x7f',
  '\xff',
  '\xc0\xae',
].map((text) => Buffer.from(text, 'latin1'))

/** A few random changes of `bytes`; `other` lends a piece now and then. */
export function mutate(bytes: Buffer, other: Buffer, random: Random): Buffer {
  let mutated: Buffer = Buffer.from(bytes)
  for (let left = 1 + random.below(4); left > 0; left--) mutated = once(mutated, other, random)
  return mutated
}

function once(bytes: Buffer, other: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length + 1)
  const length = 1 + random.below(random.chance(0.7) ? 4 : 40)
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
  switch (random.below(7)) {
    case 0:
      return Buffer.concat([before, Buffer.from([random.below(256)]), after.subarray(1)])
    case 1:
      return Buffer.concat([before, after.subarray(length)])
    case 2:
      return Buffer.concat([before, after.subarray(0, length), after])
    case 3:
      return Buffer.concat([before, Buffer.from([random.below(256)]), after])
    case 4: {
      const from = random.below(other.length + 1)
      return Buffer.concat([before, other.subarray(from, from + length * 4), after])
    }
    case 5: {
      // One bit, as letter case is.
      const flipped = Buffer.from(bytes)
      if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8))
      return flipped
    }
    default:
      return Buffer.concat([before, random.pick(TOKENS), after])
  }
}

/** `bytes` in pieces of random lengths. */
export function cut(bytes: Buffer, random: Random): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.below(random.chance(0.5) ? 4 : 200)
    pieces.push(bytes.subarray(at, end))
    at = end
  }
  return pieces
}
