import { createHash, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { KeywardError } from '../../core/errors.ts'
import { KEY_BYTES, takeKey } from '../sealing.ts'
import type { RandomBytes } from '../sealing.ts'
import type { RootKey, RootKeySource } from './root-key.ts'

const MARK = 'keyward-root-key'
const FORMAT = 'v1'
const CHECKSUM_CHARACTERS = 8
const MAX_FILE_BYTES = 4096
const OTHERS = 0o077

/** The root key in a file, 0600, outside the home. */
export function fileSource({ path, random }: { path: string; random: RandomBytes }): RootKeySource {
  const beside = `${path}.new`
  return {
    kind: 'file',
    where: path,
    existing: () => readRootKeyFile(path),
    /** A key file that is already there is used: the operator may have put it there first. */
    async first() {
      if (existsSync(path)) return readRootKeyFile(path)
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      return createRootKeyFile(path, random)
    },
    async next() {
      // What a try that was broken off left: its slot was never proven.
      await rm(beside, { force: true })
      await createRootKeyFile(beside, random)
      return {
        // Read back, so that what is proven is what lies on the disk.
        rootKey: await readRootKeyFile(beside),
        async settle() {
          const former = await open(path, 'r+').catch(() => null)
          await rename(beside, path)
          await syncFolder(dirname(path))
          if (former === null) return
          // Gone from the folder, and not left in the blocks that it had, where the file system writes in place.
          await former.write(Buffer.alloc((await former.stat()).size), 0, undefined, 0)
          await former.sync()
          await former.close()
        },
        destroyFormer: async () => undefined,
        discard: () => rm(beside, { force: true }),
      }
    },
  }
}

/** Makes a new root key and its file, 0600, only where no file is yet. Throws `already_exists`. */
export async function createRootKeyFile(path: string, random: RandomBytes): Promise<RootKey> {
  const bytes = Buffer.alloc(KEY_BYTES)
  bytes.set(random(KEY_BYTES))
  const text = rootKeyText(bytes)
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new KeywardError('already_exists', `A root key file is already there: ${path}`)
    }
    throw error
  }
  return heldRootKey('file', takeKey(bytes))
}

/** Throws `root_key_missing`, `root_key_unsafe` (group or others may read it) or `root_key_wrong` (not a root key). */
export async function readRootKeyFile(path: string): Promise<RootKey> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new KeywardError('root_key_missing', `Cannot open ${path}.`, { cause: error })
  })
  try {
    const about = await file.stat()
    if (!about.isFile()) throw new KeywardError('root_key_wrong', `${path} is not a file.`)
    if ((about.mode & OTHERS) !== 0) throw new KeywardError('root_key_unsafe', path)
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1)
    const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, 0)
    const key = parseRootKey(bytes.toString('latin1', 0, bytesRead))
    bytes.fill(0)
    if (key === null) throw new KeywardError('root_key_wrong', `${path} does not hold a root key of a known format.`)
    return heldRootKey('file', key)
  } finally {
    await file.close()
  }
}

/** A root key whose 32 bytes are at hand: they open every slot of its kind that they sealed. */
export function heldRootKey(kind: 'file' | 'recovery', key: KeyObject): RootKey {
  return {
    kind,
    create: async () => ({ head: { kind }, key }),
    open: async (head) => (head.kind === kind ? key : null),
  }
}

/** The one line of a root key file. */
export function rootKeyText(bytes: Uint8Array): string {
  return `${MARK}:${FORMAT}:${Buffer.from(bytes).toString('base64url')}:${checksumOf(bytes)}\n`
}

/** The key of a root key file, or null where the text is not exactly one. One newline at the end may be missing. */
export function parseRootKey(text: string): KeyObject | null {
  const [mark, format, encoded = '', checksum, ...rest] = text.replace(/\n$/, '').split(':')
  if (mark !== MARK || format !== FORMAT || checksum?.length !== CHECKSUM_CHARACTERS || rest.length > 0) return null
  const bytes = Buffer.alloc(KEY_BYTES)
  if (encoded.length !== 43 || bytes.write(encoded, 'base64url') !== KEY_BYTES) return null
  if (bytes.toString('base64url') !== encoded) return null
  const expected = Buffer.from(checksumOf(bytes))
  const given = Buffer.from(checksum, 'latin1')
  if (given.byteLength !== expected.byteLength || !timingSafeEqual(expected, given)) return null
  return takeKey(bytes)
}

function checksumOf(bytes: Uint8Array): string {
  return createHash('sha256')
    .update('keyward/root-key-checksum/v1')
    .update(bytes)
    .digest('hex')
    .slice(0, CHECKSUM_CHARACTERS)
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}
