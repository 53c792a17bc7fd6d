import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Service } from '../services/service.ts'
import { openSqliteStore } from '../stores/sqlite.ts'
import type { Anchor } from './records.ts'
import { heldRootKey } from './root-keys/file.ts'
import type { RootKey } from './root-keys/root-key.ts'
import { takeKey } from './sealing.ts'
import type { RandomBytes } from './sealing.ts'
import { createVault, openVault } from './vault.ts'

/** For tests: the SHA-256 stream of a label, so that a run can be repeated. */
export function seededRandom(label: string): RandomBytes {
  let counter = 0
  return (count) => {
    const blocks: Buffer[] = []
    for (let size = 0; size < count; size += 32) {
      blocks.push(createHash('sha256').update(`${label}/${counter}`).digest())
      counter += 1
    }
    return Buffer.concat(blocks).subarray(0, count)
  }
}

/** The bytes of `fileRootKey`. */
export function rootKeyBytes(label: string): Buffer {
  return Buffer.from(seededRandom(`root key ${label}`)(32))
}

export function fileRootKey(label: string): RootKey {
  return heldRootKey('file', takeKey(rootKeyBytes(label)))
}

export interface RecordedEntry {
  readonly kind: 'intent' | 'applied'
  readonly epoch: number
  readonly action?: string
  readonly rows?: readonly string[]
}

/** A journal that only remembers. */
export function recordingAnchor(): Anchor & { readonly entries: RecordedEntry[] } {
  const entries: RecordedEntry[] = []
  return {
    entries,
    async intent({ epoch, action, rows }) {
      entries.push({ kind: 'intent', epoch, action, rows })
    },
    async applied({ epoch }) {
      entries.push({ kind: 'applied', epoch })
    },
  }
}

/** A folder for one test file, and vaults in it. */
export function vaultFolder(label: string) {
  const folder = mkdtempSync(join(tmpdir(), `keyward-${label}-`))
  let made = 0
  const random = seededRandom(label)
  let clock = 1_750_000_000_000
  const now = () => (clock += 1)
  const rootKey = fileRootKey(label)

  async function openAt(path: string, key: RootKey = rootKey) {
    const store = await openSqliteStore(path)
    try {
      const anchor = recordingAnchor()
      const opened = await openVault({ store, rootKey: key, now, random })
      opened.records.attach(anchor)
      return { ...opened, anchor, path }
    } catch (error) {
      await store.close()
      throw error
    }
  }

  return {
    folder,
    random,
    now,
    rootKey,
    newId: () => Buffer.from(random(16)).toString('hex'),
    path(name: string) {
      return join(folder, name)
    },
    openAt,
    async create(key: RootKey = rootKey) {
      made += 1
      const path = join(folder, `${made}.db`)
      const store = await openSqliteStore(path)
      const anchor = recordingAnchor()
      const created = await createVault({ store, rootKey: key, now, random })
      created.records.attach(anchor)
      return { ...created, anchor, path }
    },
    /** The code and detail with which a vault refuses to open, or null when it opens. */
    async refusal(path: string, key: RootKey = rootKey): Promise<{ code: unknown; detail: unknown } | null> {
      try {
        const { records } = await openAt(path, key)
        await records.close()
        return null
      } catch (error) {
        if (error instanceof Error && 'code' in error && 'detail' in error)
          return { code: error.code, detail: error.detail }
        throw error
      }
    },
    remove() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A service for tests, with the given fields. */
export function sampleService(id: string, fields: Service['fields']): Service {
  return {
    id,
    name: id,
    hosts: [`${id}.example.test`],
    fields,
    inject: [{ kind: 'bearer' }],
    variables: { fields: {} },
    operations: [],
    checked: 'documented',
    source: 'made for tests',
  }
}
