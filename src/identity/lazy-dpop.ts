import type { Dpop } from './dpop.ts'

/** Proofs of keys, whose library is loaded when the first comes, and not at every start. */
export function lazyDpop(now: () => number): Pick<Dpop, 'verify'> {
  let loading: Promise<Dpop> | null = null
  return {
    async verify(proof, of, holder) {
      loading ??= import('./dpop.ts').then(({ createDpop }) => createDpop({ now }))
      return (await loading).verify(proof, of, holder)
    },
  }
}
