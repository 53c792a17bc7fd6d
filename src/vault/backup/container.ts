import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { KeywardError } from '../../core/errors.ts'

/** The first line of a backup, behind its encryption. */
export const BACKUP_MARK = Buffer.from('keyward-backup/v1\n')
/** One piece of a part. */
export const BACKUP_CHUNK_MAXIMUM_BYTES = 1024 * 1024
/** Parts of one backup: records, files of journals, the manifest. */
export const BACKUP_PARTS_MAXIMUM = 65_536
const NAME_MAXIMUM_BYTES = 128

/** What a manifest says of a part. `sha256` is 64 lower-case hex digits. */
export interface PartDigest {
  readonly name: string
  readonly bytes: number
  readonly sha256: string
}

export interface Part {
  readonly name: string
  readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

/** What reading tells, in order: `begin`, any number of `piece`, `end`, for each part; the last part is the manifest. */
export type PartEvent =
  | { readonly kind: 'begin'; readonly name: string }
  | { readonly kind: 'piece'; readonly name: string; readonly bytes: Buffer }
  | { readonly kind: 'end'; readonly digest: PartDigest }

/** Names of parts: nothing else is ever read or written, so none can lead out of the folder that it is put into. */
const partName = /^(?:records|manifest|journal\/[a-z0-9][a-z0-9-]{0,62}\/(?:start|checkpoints|\d{8}\.jsonl))$/

/** The bytes of a backup (docs/formats/backup.md). The manifest is asked for last, when all that it lists is known. */
export async function* writeContainer(
  parts: AsyncIterable<Part>,
  manifest: (digests: readonly PartDigest[]) => string,
): AsyncGenerator<Buffer> {
  const digests: PartDigest[] = []
  yield BACKUP_MARK
  for await (const part of parts) digests.push(yield* writePart(part))
  if (digests.length >= BACKUP_PARTS_MAXIMUM)
    throw new KeywardError(
      'request_too_large',
      `A backup has at most ${BACKUP_PARTS_MAXIMUM} parts: prune the journal.`,
    )
  yield* writePart({ name: 'manifest', content: [Buffer.from(manifest(digests))] })
}

async function* writePart({ name, content }: Part): AsyncGenerator<Buffer, PartDigest> {
  const hash = createHash('sha256')
  let bytes = 0
  yield Buffer.concat([lengthOf(Buffer.byteLength(name)), Buffer.from(name)])
  for await (const piece of content) {
    for (let at = 0; at < piece.byteLength; at += BACKUP_CHUNK_MAXIMUM_BYTES) {
      const chunk = piece.subarray(at, at + BACKUP_CHUNK_MAXIMUM_BYTES)
      hash.update(chunk)
      bytes += chunk.byteLength
      yield Buffer.concat([lengthOf(chunk.byteLength), chunk])
    }
  }
  yield lengthOf(0)
  return { name, bytes, sha256: hash.digest('hex') }
}

function lengthOf(bytes: number): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes)
  return length
}

/** Reads what `writeContainer` wrote, a piece at a time. Throws `backup_damaged` or `backup_newer`. */
export async function* readContainer(source: AsyncIterable<Uint8Array>): AsyncGenerator<PartEvent> {
  const input = new Input(source)
  const mark = await input.take(BACKUP_MARK.length)
  if (!mark.equals(BACKUP_MARK)) {
    if (/^keyward-backup\/v\d/.test(mark.toString('latin1')))
      throw new KeywardError('backup_newer', 'Its format is unknown.')
    throw new KeywardError('backup_damaged', 'It is not a backup of Keyward.')
  }
  const seen = new Set<string>()
  while (!seen.has('manifest')) {
    const name = (await input.take(await input.length(NAME_MAXIMUM_BYTES))).toString('latin1')
    if (!partName.test(name) || seen.has(name) || seen.size >= BACKUP_PARTS_MAXIMUM)
      throw new KeywardError('backup_damaged', 'It has a part that no backup has.')
    seen.add(name)
    yield { kind: 'begin', name }
    const hash = createHash('sha256')
    let bytes = 0
    for (let size = await input.length(); size > 0; size = await input.length()) {
      const piece = await input.take(size)
      hash.update(piece)
      bytes += size
      yield { kind: 'piece', name, bytes: piece }
    }
    yield { kind: 'end', digest: { name, bytes, sha256: hash.digest('hex') } }
  }
  if (!(await input.isAtEnd())) throw new KeywardError('backup_damaged', 'Something follows its manifest.')
}

/** Bytes on demand, of which no more than one piece of the source and one chunk are held. */
class Input {
  readonly #source: AsyncIterator<Uint8Array>
  #held: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  async take(count: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let missing = count; missing > 0;) {
      if (this.#held.length === 0 && !(await this.#more()))
        throw new KeywardError('backup_damaged', 'It ends too early.')
      const piece = this.#held.subarray(0, missing)
      this.#held = this.#held.subarray(piece.length)
      missing -= piece.length
      pieces.push(piece)
    }
    return pieces.length === 1 ? (pieces[0] ?? Buffer.alloc(0)) : Buffer.concat(pieces)
  }

  async length(most: number = BACKUP_CHUNK_MAXIMUM_BYTES): Promise<number> {
    const length = (await this.take(4)).readUInt32BE()
    if (length > most) throw new KeywardError('backup_damaged', 'A piece of it is longer than any may be.')
    return length
  }

  async isAtEnd(): Promise<boolean> {
    return this.#held.length === 0 && !(await this.#more())
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#source.next()
      if (next.done === true) return false
      const { buffer, byteOffset, byteLength } = next.value
      this.#held = Buffer.from(buffer, byteOffset, byteLength)
      if (byteLength > 0) return true
    }
  }
}
