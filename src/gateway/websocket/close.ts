import { isUtf8 } from 'node:buffer'
import { CONTROL_MAXIMUM_BYTES, type FrameFault } from './frames.ts'
import { cutUtf8 } from './utf8.ts'

/** What a Close frame says (RFC 6455 section 5.5.1). */
export interface Close {
  /** Null: the frame was empty. */
  readonly code: number | null
  readonly reason: Buffer
}

export function readClose(payload: Buffer): Close | FrameFault {
  if (payload.length === 0) return { code: null, reason: payload }
  if (payload.length === 1) return { closeCode: 1002, why: 'A Close frame has half a status.' }
  const code = payload.readUInt16BE(0)
  if (!mayBeSent(code)) return { closeCode: 1002, why: 'A Close frame has a status that is never sent.' }
  const reason = payload.subarray(2)
  return isUtf8(reason) ? { code, reason } : { closeCode: 1007, why: 'The reason of a Close frame is not UTF-8.' }
}

/** The payload of a Close frame; the reason is cut to what fits. */
export function closePayload(code: number | null, reason: Uint8Array): Buffer {
  if (code === null) return Buffer.alloc(0)
  const kept = cutUtf8(reason, CONTROL_MAXIMUM_BYTES - 2)
  const payload = Buffer.alloc(2 + kept.length)
  payload.writeUInt16BE(code)
  payload.set(kept, 2)
  return payload
}

/** Section 7.4.1 and the registry of IANA: 1004 to 1006 and 1015 only stand for what happened. */
function mayBeSent(code: number): boolean {
  if (code >= 3000) return code < 5000
  return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)
}
