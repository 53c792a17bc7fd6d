/** One part of a framed message: text as UTF-8, a whole number as eight bytes big-endian, or bytes. */
export type FramePart = string | number | Uint8Array

/**
 * Joins parts so that no two different lists give the same bytes: each part, the label first, stands
 * behind its length as four bytes big-endian. Keys sign and bind these bytes. Never for secrets: the
 * buffer may come from the shared pool.
 */
export function frame(label: string, parts: readonly FramePart[]): Buffer {
  let size = 4 + Buffer.byteLength(label)
  for (const part of parts) size += 4 + lengthOf(part)
  const out = Buffer.allocUnsafe(size)
  let at = writePart(out, 0, label)
  for (const part of parts) at = writePart(out, at, part)
  return out
}

function lengthOf(part: FramePart): number {
  if (typeof part === 'string') return Buffer.byteLength(part)
  return typeof part === 'number' ? 8 : part.byteLength
}

function writePart(out: Buffer, at: number, part: FramePart): number {
  const length = lengthOf(part)
  const start = out.writeUInt32BE(length, at)
  if (typeof part === 'string') out.write(part, start, 'utf8')
  else if (typeof part === 'number') out.writeBigUInt64BE(BigInt(part), start)
  else out.set(part, start)
  return start + length
}
