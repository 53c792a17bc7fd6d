import { createHash, randomBytes } from 'node:crypto'
import { constants, lstatSync } from 'node:fs'
import { link, open, rename, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { KeywardError } from '../../core/errors.ts'

const READ_BYTES = 256 * 1024

/** Where a backup goes: into a folder, under a name of its own, or to a file that is not there yet. */
export interface Target {
  readonly folder: string
  /** Null: the name that the home gives. */
  readonly file: string | null
}

/** Throws `backup_target` for what is there already, follows no link, and writes to no device. */
export function targetOf(workingDirectory: string, to: string | undefined): Target {
  const path = resolve(workingDirectory, to ?? '.')
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found?.isSymbolicLink() === true)
    throw new KeywardError('backup_target', 'It is a link, and no link is followed.')
  if (found?.isDirectory() === true) return { folder: path, file: null }
  if (found?.isFile() === true)
    throw new KeywardError('backup_target', 'The file is there already, and none is overwritten.')
  if (found !== undefined) throw new KeywardError('backup_target', 'It is neither a file nor a folder.')
  if (to?.endsWith('/') === true) throw new KeywardError('backup_target', 'There is no such folder.')
  const folder = dirname(path)
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new KeywardError('backup_target', 'The folder of that file is not there, or is a link.')
  return { folder, file: path }
}

/** What was written, under a name that nobody takes for a backup. */
export interface Written {
  readonly sha256: string
  readonly bytes: number
  /** Gives it its name, which must be free, durably. */
  publish(path: string): Promise<void>
  discard(): Promise<void>
}

/** Writes all of it, 0600 and synced, beside the target. Throws `backup_unwritten` or `backup_target`, and leaves nothing. */
export async function writeBeside(
  folder: string,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Written> {
  const temporary = join(folder, `.keyward-backup-${randomBytes(8).toString('hex')}.partial`)
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  const file = await open(temporary, flags, 0o600).catch((error: unknown) => {
    throw new KeywardError('backup_target', 'No file can be made in that folder.', { cause: error })
  })
  const discard = (): Promise<void> => rm(temporary, { force: true })
  try {
    const written = await pour(file, bytes, signal)
    await file.sync()
    await file.close()
    return {
      ...written,
      discard,
      async publish(path) {
        await publish(temporary, path)
        await syncFolder(folder)
      },
    }
  } catch (error) {
    await file.close().catch(() => undefined)
    await discard()
    throw diskError(error)
  }
}

async function pour(
  file: FileHandle,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256')
  let size = 0
  for await (const piece of bytes) {
    await file.writeFile(piece)
    hash.update(piece)
    size += piece.byteLength
    signal.throwIfAborted()
  }
  return { sha256: hash.digest('hex'), bytes: size }
}

/** By a second name, because that never takes the place of another file; where the file system has none, by one that is made for it. */
async function publish(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path)
    await rm(temporary)
  } catch (error) {
    if (isCode(error, 'EEXIST'))
      throw new KeywardError('backup_target', 'The file is there already, and none is overwritten.')
    if (!isCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw diskError(error)
    const placeholder = await open(path, 'wx', 0o600).catch((cause: unknown) => {
      throw new KeywardError('backup_target', 'The file is there already, and none is overwritten.', { cause })
    })
    await placeholder.close()
    await rename(temporary, path)
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  // Some file systems cannot; what they hold is as durable as they make it.
  await handle.sync().catch(() => undefined)
  await handle.close()
}

/** The bytes of one open file, from its start, as often as they are asked for. */
export async function openBackupFile(
  path: string,
): Promise<{ read(): AsyncGenerator<Buffer>; size: number; close(): Promise<void> }> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw new KeywardError('usage', 'The file of the backup cannot be opened.', { cause: error })
  })
  const about = await file.stat()
  if (!about.isFile()) {
    await file.close()
    throw new KeywardError('usage', 'A backup is a file.')
  }
  return {
    size: about.size,
    close: () => file.close(),
    async *read() {
      for (let at = 0; ;) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, at)
        if (bytesRead === 0) return
        at += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    },
  }
}

function diskError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof KeywardError || !('code' in error)) return error
  return new KeywardError('backup_unwritten', `The disk answers ${String(error.code)}.`, { cause: error })
}

function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
