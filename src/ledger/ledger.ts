/**
 * The money of one request. The gateway asks for a hold before anything is sent and settles it with
 * what was really used; which budgets exist is the ledger's knowledge alone.
 */
export interface Ledger {
  hold(question: HoldQuestion): Hold | HoldRefusal
}

export interface HoldQuestion {
  readonly exchangeId: string
  readonly agentId: string
  readonly credentialId: string
  readonly service: string
  readonly operation: string | null
}

export interface Hold {
  /** Ends the hold; `usage` is null when the service told none. Returns the charge, null where no budget counts it. Calling it twice is harmless. */
  settle(usage: Usage | null): { readonly nanoDollars: bigint } | null
}

export interface HoldRefusal {
  readonly refusal: 'overloaded'
  readonly detail: string
}

/** What a meter read from an answer. */
export interface Usage {
  readonly model: string | null
  readonly inputTokens: number
  readonly outputTokens: number
}
