import { DatabaseError } from 'pg'
import { KeywardError } from '../core/errors.ts'

/** SQLSTATE codes (PostgreSQL manual, appendix A) whose reason is worth a sentence. */
const unreadable: ReadonlyMap<string, string> = new Map([
  ['25006', 'It can only be read: it is a replica, or read-only by its settings.'],
  ['42501', 'Its user lacks a permission: make it the owner of the database.'],
  ['53100', 'Its disk is full.'],
  ['58030', 'Its disk fails.'],
])
const unavailable: ReadonlyMap<string, string> = new Map([
  ['28000', 'It refuses the user.'],
  ['28P01', 'It refuses the password.'],
  ['3D000', 'It has no database of that name.'],
  ['53300', 'It has no connection left.'],
  ['55P03', 'It did not answer in time: somebody holds a lock.'],
  ['57014', 'It did not answer in time.'],
  ['57P01', 'It was shut down.'],
  ['57P02', 'It has crashed.'],
  ['57P03', 'It is starting or stopping.'],
])
const certificateCodes = /^(?:CERT_|DEPTH_ZERO_|ERR_SSL_|ERR_TLS_|SELF_SIGNED_|UNABLE_TO_)/

/** Runs `work`, and gives every failure of the driver or the server a stable code. */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeError(error)
  }
}

/**
 * What the driver threw, as `store_unavailable` (the server is not reached) or `store_unreadable` (it
 * refuses the work). Neither the message nor the error itself is kept: both quote statements, values
 * and addresses.
 */
export function storeError(error: unknown): unknown {
  if (error instanceof KeywardError || error instanceof TypeError || error instanceof RangeError) return error
  if (!(error instanceof DatabaseError)) return new KeywardError('store_unavailable', connectionReason(error))
  const code = error.code ?? ''
  const away = unavailable.get(code)
  if (away !== undefined || code.startsWith('08') || code === '')
    return new KeywardError('store_unavailable', away ?? `It answers SQLSTATE ${code}.`)
  return new KeywardError('store_unreadable', unreadable.get(code) ?? `The database answers SQLSTATE ${code}.`)
}

/** Whether somebody else made the same table at the same time. */
export function isMadeMeanwhile(error: unknown): boolean {
  return error instanceof DatabaseError && (error.code === '42P07' || error.code === '23505')
}

/** Whether the server said that a column or table is not as Keyward makes it. */
export function isOtherLayout(error: unknown): boolean {
  return error instanceof DatabaseError && (error.code === '42703' || error.code === '42P01' || error.code === '42809')
}

function connectionReason(error: unknown): string {
  if (!(error instanceof Error)) return 'The connection broke.'
  if ('code' in error && typeof error.code === 'string') {
    if (certificateCodes.test(error.code)) return `Its certificate does not verify (${error.code}); nothing was sent.`
    if (/^[A-Z_]{3,40}$/.test(error.code)) return `The connection failed (${error.code}).`
  }
  if (/timeout/i.test(error.message)) return 'It did not answer in time.'
  if (error.message.includes('SSL')) return 'It offers no TLS; nothing was sent.'
  if (error.message.startsWith('SASL')) return 'It refuses the password.'
  return 'The connection broke.'
}
