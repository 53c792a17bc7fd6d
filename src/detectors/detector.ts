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

/** `length` characters drawn from `alphabet`. */
export type RandomText = (length: number, alphabet: string) => string

/**
 * A placeholder is `prefix + 'kwp' + random + checksum + suffix`. `length` counts all of it; null
 * leaves the room open (Keyward uses 22 random characters, 131 bits). Where `length` leaves fewer than 100 random bits the
 * placeholder is valid only together with a proven session.
 */
export interface PlaceholderShape {
  readonly prefix: string
  readonly suffix?: string
  readonly alphabet: string
  readonly length: number | null
}
