import { STATUS_CODES } from 'node:http'
import type { HeaderPair } from '../../core/request.ts'

const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1')

/** Head and, behind it, the first bytes of the body in one piece, so that one system call sends both. */
export function headWith(head: string, body: Uint8Array | null): Buffer {
  if (body === null || body.byteLength === 0) return Buffer.from(head, 'latin1')
  const bytes = Buffer.allocUnsafe(head.length + body.byteLength)
  bytes.write(head, 0, 'latin1')
  bytes.set(body, head.length)
  return bytes
}

export function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Status'}\r\n`
}

export function fieldLines(headers: readonly HeaderPair[]): string {
  let text = ''
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`
  return text
}

/** One chunk (RFC 9112 section 7.1). An empty piece would end the body, so there is no chunk for it. */
export function chunkOf(piece: Uint8Array): Buffer {
  const size = `${piece.byteLength.toString(16)}\r\n`
  const bytes = Buffer.allocUnsafe(size.length + piece.byteLength + 2)
  // For so few characters `write` takes longer to call than to do its work.
  for (let at = 0; at < size.length; at++) bytes[at] = size.charCodeAt(at)
  bytes.set(piece, size.length)
  bytes[bytes.length - 2] = 0x0d
  bytes[bytes.length - 1] = 0x0a
  return bytes
}

export function lastChunk(trailers: readonly HeaderPair[]): Buffer {
  return trailers.length === 0 ? LAST_CHUNK : Buffer.from(`0\r\n${fieldLines(trailers)}\r\n`, 'latin1')
}
