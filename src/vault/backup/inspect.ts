import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { KeywardError } from '../../core/errors.ts'
import { followChain } from '../../journal/chain.ts'
import { checkpointKey, originOf } from '../../journal/checkpoint.ts'
import type { StoredRow } from '../../stores/store.ts'
import type { Records } from '../records.ts'
import type { RootKey } from '../root-keys/root-key.ts'
import type { RandomBytes } from '../sealing.ts'
import { openVault } from '../vault.ts'
import type { Vault } from '../vault.ts'
import { unprovenHead } from '../verify-rows.ts'
import { readContainer } from './container.ts'
import type { PartDigest } from './container.ts'
import { BACKUP_MANIFEST_MAXIMUM_BYTES, isProven, parseContents } from './contents.ts'
import type { BackupContents, UnprovenContents } from './contents.ts'
import { heldStore } from './held-store.ts'
import { createRowReader } from './rows.ts'

/** The records of a backup, opened and verified in memory. */
export interface HeldVault {
  readonly store: ReturnType<typeof heldStore>
  readonly records: Records
  readonly vault: Vault
}

export interface Inspected {
  readonly contents: BackupContents
  /** SHA-256 of the manifest with its MAC, hex: the journal of the home that made it has the same. */
  readonly manifest: string
  /** Null where no root key was given: then the backup is whole, and whether it is ours is open. */
  readonly held: HeldVault | null
}

export interface OpeningKeys {
  readonly rootKey: RootKey
  readonly now: () => number
  readonly random: RandomBytes
}

type Chain = ReturnType<typeof followChain>

/**
 * Reads all of a backup and believes nothing in it: the hash of every part, each journal's chain up to its head, and,
 * with a root key, every record's MAC, the signatures, and the MAC of the manifest. Keeps the records alone. Throws
 * `backup_damaged`, `backup_newer`, `backup_foreign`, `root_key_wrong`, `vault_damaged`.
 */
export async function inspectBackup(
  source: AsyncIterable<Uint8Array>,
  keys: OpeningKeys | null,
  onPiece: (bytes: number) => void = () => undefined,
): Promise<Inspected> {
  const rows = createRowReader()
  const chains = new Map<string, Chain>()
  const digests: PartDigest[] = []
  const manifest: Buffer[] = []
  let manifestBytes = 0
  let held: HeldVault | null = null

  function chainOf(node: string): Chain {
    const found = chains.get(node)
    if (found !== undefined) return found
    const key = held === null ? null : checkpointKey(originOf(node), held.vault.journalKey().publicKey)
    const made = followChain(key)
    chains.set(node, made)
    return made
  }

  for await (const event of readContainer(source)) {
    const name = event.kind === 'end' ? event.digest.name : event.name
    const [, node, file] = /^journal\/([^/]+)\/([^/]+)$/.exec(name) ?? []
    if (event.kind === 'piece') onPiece(event.bytes.length)
    if (event.kind === 'begin' && (name === 'records') !== (digests.length === 0))
      throw damaged('Its records are not its first part.')
    if (event.kind === 'end' && name !== 'manifest') digests.push(event.digest)
    if (name === 'records') {
      if (event.kind === 'piece') rows.take(event.bytes)
      if (event.kind !== 'end') continue
      rows.end()
      held = keys === null ? null : await hold(rows.rows, keys)
    } else if (node !== undefined && file !== undefined) {
      if (event.kind === 'begin') chainOf(node).begin(file)
      if (event.kind === 'piece') chainOf(node).piece(file, event.bytes)
    } else if (event.kind === 'piece') {
      manifest.push(event.bytes)
      manifestBytes += event.bytes.length
      if (manifestBytes > BACKUP_MANIFEST_MAXIMUM_BYTES) throw damaged('Its manifest is too long.')
    }
  }
  const bytes = Buffer.concat(manifest)
  const unproven = parseContents(bytes)
  compare(unproven, digests, rows.rows, held)
  compareHeads(unproven.contents, chains)
  return { contents: unproven.contents, manifest: createHash('sha256').update(bytes).digest('hex'), held }
}

/** Opens the records by what they say of themselves; opening proves it. */
async function hold(rows: readonly StoredRow[], { rootKey, now, random }: OpeningKeys): Promise<HeldVault> {
  const head = unprovenHead(rows)
  if (head === null) throw damaged('Its records have no head.')
  const store = heldStore({ storeId: head.storeId, schema: head.schema }, { epoch: head.epoch, rows })
  try {
    return { store, ...(await openVault({ store, rootKey, now, random })) }
  } catch (error) {
    if (error instanceof KeywardError && error.code === 'store_tampered')
      throw new KeywardError('backup_foreign', error.detail, { cause: error })
    throw error
  }
}

function compare(
  unproven: UnprovenContents,
  digests: readonly PartDigest[],
  rows: readonly StoredRow[],
  held: HeldVault | null,
): void {
  const { contents } = unproven
  const isListed =
    contents.parts.length === digests.length &&
    contents.parts.every((part, at) => {
      const found = digests[at]
      return found?.name === part.name && found.bytes === part.bytes && found.sha256 === part.sha256
    })
  if (!isListed) throw damaged('Its parts are not those that its manifest lists.')
  if (held !== null && !isProven(unproven, held.vault.macKey('backup')))
    throw new KeywardError('backup_foreign', 'Its manifest was not made with a key of this vault.')
  const head = unprovenHead(rows)
  const isSame =
    head?.storeId === contents.storeId &&
    head.schema === contents.schema &&
    head.epoch === contents.epoch &&
    rows.length === contents.rows
  if (!isSame) throw damaged('Its records are not those of its manifest.')
}

function compareHeads({ heads }: BackupContents, chains: ReadonlyMap<string, Chain>): void {
  const inside = new Map(heads.flatMap((head) => (head.inside ? [[head.node, head] as const] : [])))
  for (const [node, chain] of chains) {
    const head = inside.get(node)
    const reached = chain.end()
    if (head === undefined || head.size !== reached.size || head.root !== reached.root)
      throw damaged(`The journal of ${node} is not the one of its manifest.`)
    inside.delete(node)
  }
  for (const { node, size } of inside.values()) if (size > 0) throw damaged(`The journal of ${node} is missing.`)
}

function damaged(detail: string): KeywardError {
  return new KeywardError('backup_damaged', detail)
}
