/** Refusals of a person that are remembered: of one agent, and of all. Beyond it, an agent forgets its own oldest. */
export const REFUSED_AGENT_MAXIMUM = 256
export const REFUSED_MAXIMUM = 16_384

/** One request that a person has refused. */
export interface Refused {
  readonly id: string
  readonly rule: string
  /** Milliseconds since the Unix epoch. */
  readonly until: number
}

/**
 * What persons have refused, so that nobody is asked the same again. Kept apart from the questions, and without what
 * was asked: an agent that asks until there is no room for another question would else have its refusals forgotten.
 */
export interface RefusedRequests {
  remember(agentId: string, digest: string, refused: Refused): void
  find(agentId: string, digest: string): Refused | undefined
}

export function createRefusedRequests(now: () => number): RefusedRequests {
  const byAgent = new Map<string, Map<string, Refused>>()
  let count = 0

  function forgetOldest(agentId: string, all: Map<string, Refused>): void {
    for (const digest of all.keys()) {
      all.delete(digest)
      count -= 1
      break
    }
    if (all.size === 0) byAgent.delete(agentId)
  }

  function forgetOld(): void {
    for (const [agentId, all] of byAgent)
      for (const { until } of all.values()) {
        // In the order in which they were refused, and so, nearly, in that of their ends.
        if (until > now()) break
        forgetOldest(agentId, all)
      }
  }

  /** Of whom the most is remembered. */
  function largest(): string | undefined {
    let found: string | undefined
    let size = 0
    for (const [agentId, all] of byAgent) if (all.size > size) [found, size] = [agentId, all.size]
    return found
  }

  return {
    remember(agentId, digest, refused) {
      forgetOld()
      let all = byAgent.get(agentId)
      if (all === undefined) byAgent.set(agentId, (all = new Map()))
      if (!all.has(digest)) count += 1
      all.set(digest, refused)
      if (all.size > REFUSED_AGENT_MAXIMUM) forgetOldest(agentId, all)
      if (count <= REFUSED_MAXIMUM) return
      const most = largest()
      const theirs = most === undefined ? undefined : byAgent.get(most)
      if (most !== undefined && theirs !== undefined) forgetOldest(most, theirs)
    },

    find(agentId, digest) {
      const found = byAgent.get(agentId)?.get(digest)
      return found === undefined || found.until <= now() ? undefined : found
    },
  }
}
