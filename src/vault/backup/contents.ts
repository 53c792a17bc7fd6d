import { Buffer } from 'node:buffer'
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import { canonicalJson } from '../../core/canonical-json.ts'
import { KeywardError } from '../../core/errors.ts'
import { storeSchema } from '../../stores/store.ts'
import { frame } from '../framing.ts'
import type { PartDigest } from './container.ts'

/** The manifest is read as a whole. */
export const BACKUP_MANIFEST_MAXIMUM_BYTES = 32 * 1024 * 1024

/** What a backup holds, as whoever made it says; proven by a MAC under a key of the vault. */
export interface BackupContents {
  readonly id: string
  readonly storeId: string
  readonly schema: number
  readonly epoch: number
  /** Of the program that made it. */
  readonly version: string
  /** The node that made it. */
  readonly node: string
  /** Milliseconds since the Unix epoch. */
  readonly madeAt: number
  readonly rows: number
  /** Every other part, in order. */
  readonly parts: readonly PartDigest[]
  /** How far each node's journal had come, as the store or, of those that are inside, the journal itself knew. */
  readonly heads: readonly BackupHead[]
}

export interface BackupHead {
  readonly node: string
  readonly size: number
  /** Base64. */
  readonly root: string
  /** Whether the journal is in the backup. */
  readonly inside: boolean
}

const node = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
const contentsSchema: z.ZodType<BackupContents> = z.strictObject({
  id: z.string().regex(/^[a-z0-9]{1,64}$/),
  storeId: z.string().min(1).max(256),
  schema: z.int().min(1),
  epoch: z.int().min(1),
  version: z.string().max(64),
  node,
  madeAt: z.int().min(0),
  rows: z.int().min(0),
  parts: z.array(
    z.strictObject({ name: z.string(), bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
  heads: z.array(z.strictObject({ node, size: z.int().min(0), root: z.string().max(64), inside: z.boolean() })),
})

/** A manifest before its MAC was looked at: nothing in it may be believed yet. */
export interface UnprovenContents {
  readonly contents: BackupContents
  readonly text: string
  readonly mac: Buffer
}

/** Two lines: the contents as canonical JSON, and the MAC over them in base64. */
export function writeContents(contents: BackupContents, key: KeyObject): string {
  const text = canonicalJson({
    ...contents,
    parts: contents.parts.map((part) => ({ ...part })),
    heads: contents.heads.map((head) => ({ ...head })),
  })
  return `${text}\n${macOf(key, text).toString('base64')}\n`
}

/** Throws `backup_damaged`, or `backup_newer` where a later version of the store is in it. */
export function parseContents(bytes: Buffer): UnprovenContents {
  const [text = '', mac = '', rest, ...more] = bytes.toString().split('\n')
  const value = parse(text)
  if (isNewer(value)) throw new KeywardError('backup_newer', `This program knows records up to schema ${storeSchema}.`)
  const parsed = contentsSchema.safeParse(value)
  const decoded = Buffer.from(mac, 'base64')
  const isSpelled = rest === '' && more.length === 0 && decoded.toString('base64') === mac
  if (!parsed.success || !isSpelled || canonicalJson(z.json().parse(value)) !== text)
    throw new KeywardError('backup_damaged', 'Its manifest cannot be read.')
  return { contents: parsed.data, text, mac: decoded }
}

/** Whether the home whose key this is made the manifest. */
export function isProven({ text, mac }: UnprovenContents, key: KeyObject): boolean {
  const own = macOf(key, text)
  return mac.length === own.length && timingSafeEqual(mac, own)
}

function macOf(key: KeyObject, text: string): Buffer {
  return createHmac('sha256', key)
    .update(frame('keyward/backup/v1', [text]))
    .digest()
}

function isNewer(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'schema' in value && Number(value.schema) > storeSchema
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
