import { bodyFamilies } from './body-mutations.ts'
import { bareScene, bytesOf, plainDraft, type Scene } from './draft.ts'
import { headerFamilies } from './header-mutations.ts'
import { chunks } from './chunk-mutations.ts'
import { lineFamilies } from './line-mutations.ts'
import type { Family } from './mutation.ts'
import { targetFamilies } from './target-mutations.ts'
import { randomFrom } from './random.ts'

export interface HostileRequest {
  /** Place in the corpus; with the seed it makes this very request again. */
  readonly index: number
  readonly name: string
  readonly bytes: Buffer
}

const families: readonly Family[] = [...lineFamilies, ...targetFamilies, ...headerFamilies, ...bodyFamilies, chunks]
const alone = families.flat()

/** How many requests have a single thing wrong; the rest of a corpus are mixtures. */
export const ALONE_COUNT = alone.length

/**
 * `count` hostile requests, all different: first every mutation of the grammar by itself, then mixtures of
 * two or three of different families. The same seed and scene give the same bytes.
 */
export function hostileRequests(seed: number, count: number, scene: Scene = bareScene): HostileRequest[] {
  return Array.from({ length: count }, (_, index) => hostileRequest(seed, index, scene))
}

/** The request that stands at `index` of the corpus of this seed. */
export function hostileRequest(seed: number, index: number, scene: Scene = bareScene): HostileRequest {
  const random = randomFrom(seed, index)
  const draft = plainDraft(scene, `/c${index}`)
  const only = alone[index]
  const chosen = only === undefined ? mixture() : [only]
  for (const mutation of chosen) mutation.apply(draft, random)
  return { index, name: chosen.map(({ name }) => name).join(' + '), bytes: bytesOf(draft) }

  function mixture() {
    const left = [...families]
    return Array.from({ length: random.chance(0.6) ? 2 : 3 }, () => {
      const [family = []] = left.splice(random.below(left.length), 1)
      return random.pick(family)
    })
  }
}
