import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'

const DECODED_MAXIMUM_BYTES = 1024 * 1024

const codings: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  br: (bytes) => brotliDecompressSync(bytes, { maxOutputLength: DECODED_MAXIMUM_BYTES }),
  deflate: (bytes) => inflateSync(bytes, { maxOutputLength: DECODED_MAXIMUM_BYTES }),
  gzip: (bytes) => gunzipSync(bytes, { maxOutputLength: DECODED_MAXIMUM_BYTES }),
  zstd: (bytes) => zstdDecompressSync(bytes, { maxOutputLength: DECODED_MAXIMUM_BYTES }),
}

/**
 * Looks for one secret in what an agent received. Written apart from the gateway's own scrubber on
 * purpose: a gap in that one must not be a gap in this one.
 */
export function leakFinder(secret: string): (bytes: Buffer, coding?: string) => string | null {
  const forms = formsOf(secret)
  return (bytes, coding = '') => {
    for (const text of [bytes, decoded(bytes, coding)]) {
      const lower = text.toString('latin1').toLowerCase()
      const found = forms.find(([, form]) => text.includes(form) || lower.includes(form.toLowerCase()))
      if (found !== undefined) return found[0]
    }
    return null
  }
}

function decoded(bytes: Buffer, coding: string): Buffer {
  try {
    return codings[coding]?.(bytes) ?? bytes
  } catch {
    return bytes
  }
}

/** Name and text of each form. */
function formsOf(secret: string): (readonly [string, string])[] {
  const bytes = Buffer.from(secret)
  const each = (write: (byte: number) => string): string => [...bytes].map(write).join('')
  const hex = (byte: number, digits = 2): string => byte.toString(16).padStart(digits, '0')
  const aligned = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    // The first and last characters also depend on the neighbours of the secret.
    const core = text.slice(shift === 0 ? 0 : shift + 1, -1)
    return [core, core.replaceAll('+', '-').replaceAll('/', '_')]
  })
  return [
    ['as it is', secret],
    ['reversed', [...secret].toReversed().join('')],
    ...aligned.map((core) => ['as base64', core] as const),
    ['as hex', each((byte) => hex(byte))],
    ['percent-encoded', each((byte) => `%${hex(byte)}`)],
    ['JSON-escaped', each((byte) => `\\u${hex(byte, 4)}`)],
  ]
}
