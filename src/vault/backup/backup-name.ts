import { createHmac, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { frame } from '../framing.ts'

/** What the name of a backup's file says. */
export interface NamedBackup {
  readonly name: string
  /** Milliseconds since the Unix epoch, to the second. */
  readonly madeAt: number
  readonly epoch: number
  /** Of the file, 64 lower-case hex digits: whoever has the file alone sees whether it is whole. */
  readonly sha256: string
}

const form = /^keyward-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-([1-9]\d{0,15})-([0-9a-f]{64})-([0-9a-f]{32})\.age$/
const MARK_DIGITS = 32

/** `keyward-TIME-EPOCH-SHA256-MARK.age`; the mark is a MAC over the rest, so that only this home can give such a name. */
export function backupName(key: KeyObject, storeId: string, about: Omit<NamedBackup, 'name'>): string {
  const time = new Date(about.madeAt).toISOString().replaceAll(/[-:]|\.\d{3}/g, '')
  const stem = `keyward-${time}-${about.epoch}-${about.sha256}`
  return `${stem}-${markOf(key, storeId, stem)}.age`
}

/** Undefined where this home did not give the name. */
export function parseBackupName(key: KeyObject, storeId: string, name: string): NamedBackup | undefined {
  const [, year, month, day, hour, minute, second, epoch, sha256, mark] = form.exec(name) ?? []
  if (sha256 === undefined || mark === undefined) return undefined
  const own = markOf(key, storeId, name.slice(0, -(MARK_DIGITS + '-.age'.length)))
  if (!timingSafeEqual(Buffer.from(own), Buffer.from(mark))) return undefined
  const madeAt = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second))
  return { name, madeAt, epoch: Number(epoch), sha256 }
}

function markOf(key: KeyObject, storeId: string, stem: string): string {
  return createHmac('sha256', key)
    .update(frame('keyward/backup-name/v1', [storeId, stem]))
    .digest('hex')
    .slice(0, MARK_DIGITS)
}
