/** Numbers in [0, 1) that are the same for the same seed (mulberry32, public domain, by T. Ettinger). */
export function createRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Milliseconds from the start at which a Poisson process of that rate has its arrivals, for so many seconds. */
export function poissonArrivals(perSecond: number, seconds: number, seed: number): Float64Array {
  const random = createRandom(seed)
  const times: number[] = []
  const end = seconds * 1000
  for (let at = 0; ;) {
    at += (-Math.log(1 - random()) * 1000) / perSecond
    if (at >= end) return Float64Array.from(times)
    times.push(at)
  }
}
