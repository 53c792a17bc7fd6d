import { looksLikePlaceholder } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** A key that a detector saw in a text. */
export interface Sighting {
  readonly detector: string
  readonly key: string
  /** Where the key begins, in UTF-16 code units. */
  readonly index: number
  /** It is one of Keyward's own placeholders and no key. */
  readonly isPlaceholder: boolean
}

/** No more sightings than this are given for one text and one detector. */
export const maximumSightings = 1000

/** Everything in `text` that has the shape which the detector knows. */
export function keysIn(text: string, detector: Detector): Sighting[] {
  const folded = text.toLowerCase()
  if (!detector.keywords.some((keyword) => folded.includes(keyword))) return []
  const sightings: Sighting[] = []
  for (const match of text.matchAll(detector.pattern)) {
    if (sightings.length === maximumSightings) break
    const key = match[1] ?? match[0]
    const index = match.index + match[0].lastIndexOf(key)
    sightings.push({ detector: detector.id, key, index, isPlaceholder: looksLikePlaceholder(key) })
  }
  return sightings
}

/**
 * Whether `value`, as a whole, has the shape which the detector knows. `hint` is the name under which
 * it was found (a variable): some shapes mean nothing without it.
 */
export function isKey(value: string, hint: string, detector: Detector): boolean {
  return [value, `${hint}=${value}`].some((text) =>
    keysIn(text, detector).some(({ key, isPlaceholder }) => key === value && !isPlaceholder),
  )
}
