import type { Calls } from '../../core/call-pattern.ts'

/** Calls of one request, repeated ones counted. */
export const CALLS_MAXIMUM_COUNT = 1_000

/** Why a request cannot be judged, as a sentence. */
export interface Fault {
  readonly fault: string
}

export function isFault(value: object): value is Fault {
  return 'fault' in value
}

/** The calls of one request, as they are found. */
export class Tally implements Calls {
  readonly made = new Map<string, number>()
  readonly touched = new Set<string>()
  #count = 0

  /** False: there are too many. */
  make(call: string): boolean {
    this.made.set(call, (this.made.get(call) ?? 0) + 1)
    return ++this.#count <= CALLS_MAXIMUM_COUNT
  }

  touch(field: string): void {
    this.touched.add(field)
  }
}

export const tooManyCalls: Fault = { fault: `It makes more than ${CALLS_MAXIMUM_COUNT} calls.` }
