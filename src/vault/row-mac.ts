import { createHmac, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import type { StoredRow } from '../stores/store.ts'
import { frame } from './framing.ts'

const TAG_BYTES = 16
const PRINTED_CHARACTERS = 120

export type UnsealedRow = Omit<StoredRow, 'mac'>

/** The MAC of one row: HMAC-SHA256 over label, store id, table, id, sequence and body, each behind its length. */
export function rowMac(key: KeyObject, storeId: string, row: UnsealedRow): Buffer {
  return createHmac('sha256', key)
    .update(frame('keyward/row/v1', [storeId, row.table, row.id, row.seq, row.body]))
    .digest()
}

export function withMac(key: KeyObject, storeId: string, row: UnsealedRow): StoredRow {
  return { ...row, mac: rowMac(key, storeId, row) }
}

export function macHolds(key: KeyObject, storeId: string, row: StoredRow): boolean {
  if (!Number.isSafeInteger(row.seq) || row.seq < 0 || row.mac.byteLength !== 32) return false
  return timingSafeEqual(rowMac(key, storeId, row), row.mac)
}

/** What a listing keeps of a row: enough to tell this very row from every other that was ever signed. */
export function tagOf(mac: Uint8Array): string {
  return Buffer.from(mac.buffer, mac.byteOffset, TAG_BYTES).toString('base64url')
}

/** The refusal of a row; names it so that it can be found in the database, whatever its id holds. */
export function tampered(table: string, id: string, what: string): KeywardError {
  return new KeywardError('store_tampered', `Table ${printable(table)}, row ${printable(id)}: ${what}.`)
}

function printable(text: string): string {
  return text.slice(0, PRINTED_CHARACTERS).replaceAll(/[^\x21-\x7e]/g, '?')
}
