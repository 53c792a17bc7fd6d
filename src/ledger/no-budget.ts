import type { Hold, Ledger } from './ledger.ts'

const unlimited: Hold = { settle: () => null }

/** No budget is set: every hold is given and nothing is charged. The gateway still passes through both stages. */
export const noBudget: Ledger = { hold: () => unlimited }
