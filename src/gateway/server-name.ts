/** A ClientHello of ordinary clients is below 4 KiB; with post-quantum key shares and tickets still below this. */
export const HELLO_MAXIMUM_BYTES = 32 * 1024

export type HelloReading =
  | { readonly state: 'more' }
  | { readonly state: 'read'; readonly serverName: string | null }
  | { readonly state: 'refused' }

/**
 * Reads the server name (RFC 6066 section 3) from the first bytes of a TLS connection (RFC 8446
 * sections 4.1.2 and 5.1), lower-case. Anything that is not one whole, well-formed ClientHello with at
 * most one host name is refused.
 */
export function readServerName(bytes: Uint8Array): HelloReading {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const fragments: Uint8Array[] = []
  let gathered = 0
  let needed = 4
  let at = 0
  while (gathered < needed) {
    if (bytes.byteLength > HELLO_MAXIMUM_BYTES) return { state: 'refused' }
    if (at >= bytes.byteLength) return { state: 'more' }
    if (bytes[at] !== 22) return { state: 'refused' }
    if (at + 5 > bytes.byteLength) return { state: 'more' }
    if (bytes[at + 1] !== 3) return { state: 'refused' }
    const length = view.getUint16(at + 3)
    if (length === 0 || length > 16_384) return { state: 'refused' }
    if (at + 5 + length > bytes.byteLength) return { state: 'more' }
    fragments.push(bytes.subarray(at + 5, at + 5 + length))
    gathered += length
    at += 5 + length
    if (needed === 4 && gathered >= 4) {
      const head = Buffer.concat(fragments)
      if (head[0] !== 1) return { state: 'refused' }
      needed = 4 + head.readUIntBE(1, 3)
      if (needed > HELLO_MAXIMUM_BYTES) return { state: 'refused' }
    }
  }
  return readHello(Buffer.concat(fragments).subarray(4, needed))
}

class Malformed extends Error {}

function readHello(hello: Buffer): HelloReading {
  try {
    let at = 2 + 32
    at = skip(hello, at, 1)
    at = skip(hello, at, 2)
    at = skip(hello, at, 1)
    const extensions = block(hello, at, 2)
    let serverName: string | null = null
    for (let next = 0; next < extensions.byteLength;) {
      if (next + 4 > extensions.byteLength) throw new Malformed()
      const type = extensions.readUInt16BE(next)
      const content = block(extensions, next + 2, 2)
      next += 4 + content.byteLength
      if (type !== 0) continue
      if (serverName !== null) throw new Malformed()
      serverName = nameIn(block(content, 0, 2))
    }
    return { state: 'read', serverName }
  } catch (error) {
    if (error instanceof Malformed) return { state: 'refused' }
    throw error
  }
}

function nameIn(list: Buffer): string {
  if (list[0] !== 0) throw new Malformed()
  const name = block(list, 1, 2)
  if (name.byteLength + 3 !== list.byteLength) throw new Malformed()
  const text = name.toString('latin1').toLowerCase()
  if (!/^[a-z0-9._-]{1,253}$/.test(text)) throw new Malformed()
  return text
}

function block(bytes: Buffer, at: number, width: 1 | 2): Buffer {
  if (at + width > bytes.byteLength) throw new Malformed()
  const length = bytes.readUIntBE(at, width)
  if (at + width + length > bytes.byteLength) throw new Malformed()
  return bytes.subarray(at + width, at + width + length)
}

function skip(bytes: Buffer, at: number, width: 1 | 2): number {
  return at + width + block(bytes, at, width).byteLength
}
