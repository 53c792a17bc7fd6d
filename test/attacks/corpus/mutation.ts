import type { Draft } from './draft.ts'
import type { Random } from './random.ts'

/** One way to make a part of a request hostile. */
export interface Mutation {
  readonly name: string
  apply(draft: Draft, random: Random): void
}

/** Mutations of one part. Two of the same family are never put into one request. */
export type Family = readonly Mutation[]

export function each<T>(
  family: string,
  values: readonly T[],
  apply: (draft: Draft, value: T, random: Random) => void,
): Family {
  return values.map((value) => ({
    name: `${family} ${JSON.stringify(value).slice(0, 60)}`,
    apply: (draft, random) => apply(draft, value, random),
  }))
}
