import type { PlaceholderCaller, Sessions } from '../identity/sessions.ts'
import { preparedRule } from '../injectors/placement.ts'
import type { InjectionRule } from '../services/service.ts'
import type { Arrival } from './arrival.ts'
import { refusalFrom, type Refusal } from './refusal.ts'

export interface ProvePorts {
  readonly sessions: Pick<Sessions, 'signingPlaceholder'>
  readonly now: () => number
}

/** A request as it was sent: `target` in origin form, `body` where it was read. */
export interface Sent {
  readonly arrival: Arrival
  readonly target: string
  readonly body: Uint8Array | null
}

/**
 * Why a request does not prove that its sender holds what it says, or null. Null as well where the placeholder
 * itself was shown: that is its own proof. The refusal names nobody, for whoever can write down a name could be it.
 */
export function unproven(
  rule: InjectionRule,
  { arrival, target, body }: Sent,
  owner: PlaceholderCaller,
  ports: ProvePorts,
): Refusal | null {
  const { proof } = preparedRule(rule)
  if (proof === null) return null
  const placeholders: Record<string, string> = {}
  for (const field of proof.fields) {
    const text = ports.sessions.signingPlaceholder(owner, field)
    if (text === null)
      return { refusal: 'token_invalid', detail: 'The service was changed since the session was issued.' }
    placeholders[field] = text
  }
  try {
    const { method, headers } = arrival
    proof.verify({ method, target, headers, body }, placeholders, ports.now())
    return null
  } catch (error) {
    return refusalFrom(error)
  }
}

/** Whether what stands in the place of this rule proves nothing by itself. */
export function needsProof(rule: InjectionRule): boolean {
  return preparedRule(rule).proof !== null
}
