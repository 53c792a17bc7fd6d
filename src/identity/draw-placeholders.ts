import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import { makePlaceholder, type PlaceholderShape, type RandomText } from '../core/placeholder.ts'
import type { PlaceholderRecord } from '../core/records.ts'
import { derivedText } from './derived-text.ts'

export interface DrawParts {
  readonly hashOf: (text: string) => string
  readonly isTaken: (hash: string) => boolean
  readonly shapeOf: (credentialId: string, field: string) => PlaceholderShape
  readonly randomText: RandomText
  /** HMAC-SHA256 key of placeholders that can be made again. */
  readonly key: KeyObject
}

export interface DrawnPlaceholder {
  readonly text: string
  readonly record: PlaceholderRecord
}

/** A short placeholder has so few random bits that two may be alike; the second is drawn again, so often. */
const DRAWS_MAXIMUM = 16

export function createDraw({ hashOf, isTaken, shapeOf, randomText, key }: DrawParts) {
  const again = (holder: string, credentialId: string, field: string, draw: number): RandomText =>
    derivedText(key, [holder, credentialId, field, draw])

  return {
    /** A placeholder that nobody has: drawn by chance, or (`holder`) so that it can be made again for whom it is. */
    fresh(holder: string | null, credentialId: string, field: string, taken: Set<string>): DrawnPlaceholder {
      const shape = shapeOf(credentialId, field)
      for (let draw = 0; draw < DRAWS_MAXIMUM; draw += 1) {
        const { text, short } = makePlaceholder(
          shape,
          holder === null ? randomText : again(holder, credentialId, field, draw),
        )
        const hash = hashOf(text)
        if (isTaken(hash) || taken.has(hash)) continue
        taken.add(hash)
        return { text, record: { hash, credentialId, field, short } }
      }
      throw new KeywardError('internal', 'No placeholder is free for this shape of key.')
    },

    /** The text of a placeholder that was drawn for `holder`, or null where the shape of its keys was changed since. */
    again(holder: string, { credentialId, field, hash }: PlaceholderRecord): string | null {
      const shape = shapeOf(credentialId, field)
      for (let draw = 0; draw < DRAWS_MAXIMUM; draw += 1) {
        const { text } = makePlaceholder(shape, again(holder, credentialId, field, draw))
        if (hashOf(text) === hash) return text
      }
      return null
    },
  }
}

export type Draw = ReturnType<typeof createDraw>
