import { decideCalls } from './call-decision.ts'
import type { Calls } from './call-pattern.ts'
import type { Caveat } from './caveats.ts'
import type { ErrorCode } from './errors.ts'
import type { NamedOperation } from './operation-pattern.ts'
import { compileGrant, decide, type CompiledGrant, type DecisionRequest } from './policy.ts'

/** What the caveats of a chain leave, ready to be asked. Every caveat has to say yes. */
export interface Narrowing {
  readonly id: string
  /** The ids of every beginning of the chain, its own last: whoever ends one of them ends this. */
  readonly ids: readonly string[]
  readonly caveats: readonly Caveat[]
  readonly expiresAt: number | null
  /** Of every caveat that counts: the beginning that its counter hangs on. */
  readonly counted: readonly { readonly id: string; readonly count: number }[]
  readonly addresses: readonly string[]
  /** Whether only some operations or credentials are left: what has neither is then refused. */
  readonly isClosed: boolean
  /** Whether a credential of this name is among what is left. */
  hasCredential(name: string): boolean
  /** Why an operation with a credential of this name is not among what is left, or null. */
  refusalOf(credential: string, request: NarrowedRequest): NarrowedRefusal | null
}

export interface NarrowedRequest extends Omit<DecisionRequest, 'grants' | 'now'> {
  /** The operations of the credential's service: the same list each time. */
  readonly operations: readonly NamedOperation[]
  /** What the body asks for, where it is judged by that. */
  readonly calls: Calls | null
}

export interface NarrowedRefusal {
  readonly code: Extract<ErrorCode, 'narrowed_credential' | 'narrowed_operation' | 'narrowed_denied'>
  readonly rule?: string
}

const EVERYTHING = ['*']

/** `ids` has one for each of `caveats`, which have been checked. */
export function narrowingOf(ids: readonly string[], caveats: readonly Caveat[]): Narrowing {
  const rules: { readonly allow: readonly string[]; readonly deny: readonly string[] }[] = []
  const sets: ReadonlySet<string>[] = []
  const counted: { id: string; count: number }[] = []
  const addresses: string[] = []
  let expiresAt: number | null = null
  caveats.forEach((caveat, place) => {
    if (caveat.kind === 'allow') rules.push({ allow: caveat.patterns, deny: [] })
    else if (caveat.kind === 'deny') rules.push({ allow: EVERYTHING, deny: caveat.patterns })
    else if (caveat.kind === 'credentials') sets.push(new Set(caveat.names))
    else if (caveat.kind === 'uses') counted.push({ id: ids[place] ?? '', count: caveat.count })
    else if (caveat.kind === 'address') addresses.push(caveat.address)
    else if (caveat.kind === 'expires') expiresAt = Math.min(expiresAt ?? Infinity, caveat.at)
  })
  const compiled = new WeakMap<readonly NamedOperation[], readonly CompiledGrant[]>()
  function rulesFor(operations: readonly NamedOperation[]): readonly CompiledGrant[] {
    const known = compiled.get(operations)
    if (known !== undefined) return known
    const made = rules.map(({ allow, deny }) =>
      compileGrant('', { allow, deny, limits: {}, expiresAt: null }, operations),
    )
    compiled.set(operations, made)
    return made
  }
  return {
    id: ids.at(-1) ?? '',
    ids,
    caveats,
    expiresAt,
    counted,
    addresses,
    isClosed: rules.length > 0 || sets.length > 0,
    hasCredential: (name) => sets.every((set) => set.has(name)),
    refusalOf(credential, { operations, calls, ...request }) {
      if (!sets.every((set) => set.has(credential))) return { code: 'narrowed_credential' }
      for (const rule of rulesFor(operations)) {
        // A caveat is asked as if it were the only grant: what grants say is not asked here.
        const asked = { ...request, grants: [rule], now: 0 }
        const decision = calls === null ? decide(asked) : decideCalls(asked, calls)
        if (decision.allow) continue
        return decision.code === 'operation_denied'
          ? { code: 'narrowed_denied', ...(decision.rule === undefined ? {} : { rule: decision.rule }) }
          : { code: 'narrowed_operation' }
      }
      return null
    },
  }
}
