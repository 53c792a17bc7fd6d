import { constants, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { KeywardError } from '../../core/errors.ts'
import type { PartDigest } from './container.ts'
import { readContainer } from './container.ts'

/** In the home, while a restore is under way: what comes to its place once the store is there. */
const STAGING = 'restoring'
const ABOUT = 'restoration'
const JOURNAL = 'journal'

/**
 * The store is what makes a restore done, in one transaction; the journals are laid ready before it and put into place
 * after it. Whoever opens the home next ends what was broken off in between: where the store says that it comes from
 * this very restoration (by its id, or null where it comes from none) the journals follow it, else they go.
 */
export function settleRestore(home: string, restoration: string | null): void {
  const staging = join(home, STAGING)
  if (!existsSync(staging)) return
  const journals = join(staging, JOURNAL)
  if (restoration !== null && idOf(staging) === restoration && existsSync(journals)) {
    const place = join(home, JOURNAL)
    if (existsSync(place) && readdirSync(place).length > 0)
      throw new KeywardError('restore_occupied', 'A journal stands where the restored one belongs.')
    if (existsSync(place)) rmdirSync(place)
    renameSync(journals, place)
  }
  rmSync(staging, { recursive: true, force: true })
}

function idOf(staging: string): string | null {
  try {
    return readFileSync(join(staging, ABOUT), 'utf8')
  } catch {
    return null
  }
}

/** Lays the journals of a backup ready. Every file must be the one that was looked at before. Gives their folder. */
export async function stageJournals(
  home: string,
  restoration: string,
  source: AsyncIterable<Uint8Array>,
  expected: readonly PartDigest[],
  step: (name: string) => void,
): Promise<string> {
  const staging = join(home, STAGING)
  mkdirSync(join(staging, JOURNAL), { recursive: true, mode: 0o700 })
  step('staging made')
  const about = await open(join(staging, ABOUT), 'wx', 0o600)
  await about.writeFile(restoration)
  await finish(about)
  step('id written')
  const wanted = new Map(expected.map((part) => [part.name, part]))
  let file: FileHandle | null = null
  try {
    for await (const event of readContainer(source)) {
      if (event.kind === 'begin' && event.name.startsWith(`${JOURNAL}/`)) file = await create(join(staging, event.name))
      if (event.kind === 'piece' && file !== null) await file.writeFile(event.bytes)
      if (event.kind !== 'end') continue
      const { name, sha256, bytes } = event.digest
      const part = wanted.get(name)
      if (name !== 'manifest' && (part?.sha256 !== sha256 || part.bytes !== bytes))
        throw new KeywardError('backup_damaged', 'It was changed while it was read.')
      if (file === null) continue
      await finish(file)
      file = null
      step(`staged ${name}`)
    }
  } finally {
    await file?.close()
  }
  return join(staging, JOURNAL)
}

async function create(path: string): Promise<FileHandle> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  return open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
}

async function finish(file: FileHandle): Promise<void> {
  await file.sync()
  await file.close()
}

/** Makes the names in a folder, and in those below it, durable. */
export async function syncFolders(folder: string): Promise<void> {
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) await syncFolders(join(folder, entry.name))
  const handle = await open(folder, 'r')
  await handle.sync().finally(() => handle.close())
}
