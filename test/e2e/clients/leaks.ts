import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'

/**
 * Looks for secrets as a thief would: written apart from Keyward's own search, so that the two do not
 * share a mistake. Gives "NAME as FORM" for each that occurs.
 */
export function leaksIn(bytes: Buffer, secrets: Readonly<Record<string, string>>): string[] {
  const found: string[] = []
  for (const [name, secret] of Object.entries(secrets)) {
    for (const [form, needle] of formsOf(secret)) if (bytes.includes(needle)) found.push(`${name} as ${form}`)
  }
  return found
}

function formsOf(secret: string): [string, Buffer][] {
  const bytes = Buffer.from(secret)
  const each = (write: (byte: number) => string): string => [...bytes].map(write).join('')
  const two = (byte: number): string => byte.toString(16).padStart(2, '0')
  const texts: [string, string][] = [
    ['text', secret],
    ['hex', bytes.toString('hex')],
    ['HEX', bytes.toString('hex').toUpperCase()],
    ['percent', each((byte) => `%${two(byte)}`)],
    ['PERCENT', each((byte) => `%${two(byte).toUpperCase()}`)],
    ['JSON escapes', each((byte) => `\\u00${two(byte)}`)],
    ['backwards', [...secret].toReversed().join('')],
  ]
  for (const [kind, write] of [
    ['base64', 'base64'],
    ['base64url', 'base64url'],
  ] as const) {
    for (const shift of [0, 1, 2]) {
      const whole = Buffer.concat([Buffer.alloc(shift), bytes])
        .toString(write)
        .replace(/=+$/, '')
      // Characters at the edges share bits with what stands beside the secret.
      texts.push([`${kind} at ${shift}`, whole.slice(shift === 0 ? 0 : shift + 1, whole.length - 1)])
    }
  }
  return [
    ...texts.map(([form, text]): [string, Buffer] => [form, Buffer.from(text)]),
    ['UTF-16', Buffer.from(secret, 'utf16le')],
  ]
}

/** What a client makes of the HTTP/1.1 answers in these bytes: the bytes themselves, and each body without its transfer and content coding. */
export function readings(received: Buffer): Buffer[] {
  const starts = [...received.toString('latin1').matchAll(/HTTP\/1\.1 \d{3} /g)].map((match) => match.index)
  const bodies = starts.map((start, index) => bodyOf(received.subarray(start, starts[index + 1] ?? received.length)))
  return [received, ...bodies]
}

function bodyOf(answer: Buffer): Buffer {
  const end = answer.indexOf('\r\n\r\n')
  if (end < 0) return Buffer.alloc(0)
  const head = answer.toString('latin1', 0, end).toLowerCase()
  const rest = answer.subarray(end + 4)
  const body = /\r\ntransfer-encoding: *chunked/.test(head) ? unchunked(rest) : rest
  const coding = /\r\ncontent-encoding: *(\w+)/.exec(head)?.[1] ?? 'identity'
  try {
    if (coding === 'gzip') return gunzipSync(body)
    if (coding === 'br') return brotliDecompressSync(body)
    if (coding === 'deflate') return inflateSync(body)
    if (coding === 'zstd') return zstdDecompressSync(body)
  } catch {
    // An answer that was broken off: the bytes as they came are searched all the same.
  }
  return body
}

function unchunked(bytes: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const line = bytes.indexOf('\r\n', at)
    const size = line < 0 ? 0 : Number.parseInt(bytes.toString('latin1', at, line), 16)
    if (!(size > 0)) break
    pieces.push(bytes.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
  return Buffer.concat(pieces)
}
