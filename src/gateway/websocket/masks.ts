import { randomFillSync } from 'node:crypto'

const POOL_BYTES = 4 * 1024
const MASK_BYTES = 4

/** Fresh masks for the frames that go to a service: unpredictable, as RFC 6455 section 5.3 wants them. */
export function createMasks(): () => Uint8Array {
  const pool = new Uint8Array(POOL_BYTES)
  let used = POOL_BYTES
  return () => {
    if (used === POOL_BYTES) {
      randomFillSync(pool)
      used = 0
    }
    used += MASK_BYTES
    return pool.subarray(used - MASK_BYTES, used)
  }
}
