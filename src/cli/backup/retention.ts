import { createHash } from 'node:crypto'
import { constants, readdirSync } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { NamedBackup } from '../../vault/backup/backup-name.ts'
import { syncFolder } from './file.ts'

/** How long backups stay in a folder. */
export interface Retention {
  /** So many of the newest whole ones stay. */
  readonly keep: number | null
  /** Those that are younger stay. */
  readonly keepMilliseconds: number | null
}

export interface Kept {
  readonly removed: readonly string[]
  /** Named by this home, and not the bytes that it named: never removed, and never counted. */
  readonly damaged: readonly string[]
  /** Those that stay, newest first. */
  readonly kept: readonly NamedBackup[]
}

/** Regular files of a folder that look like backups; links and what else there is are left out. */
export function candidatesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.startsWith('keyward-') && entry.name.endsWith('.age'))
    .map(({ name }) => name)
}

/**
 * Removes what the retention does not keep, of the backups that this home named (`known`). The newest whole one always
 * stays; what stays because it is among the newest was read to its end.
 */
export async function retain(
  folder: string,
  known: readonly NamedBackup[],
  { keep, keepMilliseconds }: Retention,
  now: number,
): Promise<Kept> {
  const newestFirst = known.toSorted((a, b) => b.madeAt - a.madeAt || b.epoch - a.epoch)
  const kept: NamedBackup[] = []
  const damaged: string[] = []
  const removed: string[] = []
  for (const backup of newestFirst) {
    const isYoung = keepMilliseconds !== null && now - backup.madeAt < keepMilliseconds
    const isWanted = kept.length === 0 || isYoung || (keep !== null && kept.length < keep)
    if (!isWanted) {
      await unlink(join(folder, backup.name))
      removed.push(backup.name)
    } else if ((await digestOf(join(folder, backup.name))) === backup.sha256) kept.push(backup)
    else damaged.push(backup.name)
  }
  if (removed.length > 0) await syncFolder(folder)
  return { removed, damaged, kept }
}

async function digestOf(path: string): Promise<string | null> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    const hash = createHash('sha256')
    for await (const piece of file.createReadStream({ highWaterMark: 256 * 1024 })) hash.update(piece)
    return hash.digest('hex')
  } catch {
    return null
  }
}
