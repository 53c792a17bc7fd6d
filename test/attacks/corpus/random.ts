/** Numbers that a seed settles: the same seed draws the same corpus on every machine. */
export interface Random {
  /** A whole number from 0 up to, not including, `limit`. */
  below(limit: number): number
  pick<T>(choices: readonly T[]): T
  chance(probability: number): boolean
}

/** Mulberry32 (public domain, Tommy Ettinger 2017): small, and good enough to choose test cases. */
export function randomFrom(...seeds: readonly number[]): Random {
  let state = 0x9e3779b9
  for (const seed of seeds) state = Math.imul(state ^ seed, 0x85ebca6b) ^ (seed >>> 15)
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    below,
    chance: (probability) => next() < probability,
    pick(choices) {
      const chosen = choices[below(choices.length)]
      if (chosen === undefined) throw new Error('There is nothing to choose from.')
      return chosen
    },
  }
}
