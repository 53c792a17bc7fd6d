import type { PlaceholderShape, RandomText } from '../core/placeholder.ts'

export type { PlaceholderShape, RandomText } from '../core/placeholder.ts'

/**
 * The shape of one vendor's key, known here and nowhere else. Pure data. `examples` and
 * `lookAlikes` are functions of a random source, so the repository never holds a string that looks
 * like a live key.
 */
export interface Detector {
  readonly id: string
  readonly name: string
  /** Lower-case texts, one of which occurs in every match (for the prefilter). */
  readonly keywords: readonly string[]
  /** Linear-time pattern; the key itself is group 1 if there is a group, else the whole match. No anchors. */
  readonly pattern: RegExp
  /** How a placeholder of this shape looks. */
  readonly placeholder: PlaceholderShape
  examples(random: RandomText): readonly string[]
  lookAlikes(random: RandomText): readonly string[]
}
