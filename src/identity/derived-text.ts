import { createHmac } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { RandomText } from '../core/placeholder.ts'
import { randomTextFrom } from './random-text.ts'

/**
 * Draws characters from HMAC-SHA256 in counter mode over `label` instead of from chance: whoever has the key
 * draws the same again, nobody else can tell them from chance. One drawer serves one text.
 */
export function derivedText(key: KeyObject, label: readonly (string | number)[]): RandomText {
  let block = 0
  return randomTextFrom((size) => {
    const bytes = createHmac('sha256', key)
      .update(JSON.stringify([...label, block]))
      .digest()
    block += 1
    return bytes.subarray(0, size)
  })
}
