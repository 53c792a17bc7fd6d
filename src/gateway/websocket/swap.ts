import { jsonStringAt } from '../../core/json-place.ts'
import type { FramePlace } from '../../services/service.ts'

/** A text message up to this length is looked at for placeholders; a longer one passes as it is. */
export const FRAME_SWAP_MAXIMUM_BYTES = 64 * 1024
/** Programs log in at the beginning: only this many messages of a connection are looked at. */
export const FRAME_SWAP_MAXIMUM_MESSAGES = 32

export interface FrameSwap {
  readonly places: readonly FramePlace[]
  /** What the placeholder stands for, if it is one of this very session, credential and field, and may be used now; else null. */
  standsFor(placeholder: string, field: string): string | null
}

/**
 * The message with each placeholder that stands in one of the places replaced, and nothing else changed.
 * Whatever has two readings (no JSON, a name twice, an escape within the value) is left as it is.
 */
export function swapPlaceholders(message: Buffer, swap: FrameSwap): { readonly bytes: Buffer; readonly count: number } {
  const text = message.toString('utf8')
  const found: { start: number; end: number; value: string }[] = []
  for (const { pointer, field } of swap.places) {
    const place = jsonStringAt(text, pointer)
    if (place === null || found.some(({ start }) => start === place.start)) continue
    const value = swap.standsFor(text.slice(place.start, place.end), field)
    if (value !== null) found.push({ ...place, value: JSON.stringify(value).slice(1, -1) })
  }
  if (found.length === 0) return { bytes: message, count: 0 }
  let swapped = ''
  let from = 0
  for (const { start, end, value } of found.toSorted((a, b) => a.start - b.start)) {
    swapped += text.slice(from, start) + value
    from = end
  }
  return { bytes: Buffer.from(swapped + text.slice(from), 'utf8'), count: found.length }
}
