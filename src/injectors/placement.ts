import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { RequestHead } from '../core/request.ts'
import { injectors } from './index.ts'
import type { FieldValues, Found, PreparedInjector, RegisteredInjector } from './injector.ts'

/** `kind` names an injector; the other members are that injector's options. The rule of a service, as far as placing it goes. */
export interface PlacementRule {
  readonly kind: string
  readonly [option: string]: unknown
}

export interface FoundPlaceholder<Rule extends PlacementRule> extends Found {
  readonly rule: Rule
}

const byKind: ReadonlyMap<string, RegisteredInjector> = new Map(injectors.map((injector) => [injector.kind, injector]))
const prepared = new WeakMap<PlacementRule, PreparedInjector>()

/**
 * The injector of a rule with its options, checked once for each rule object. Throws KeywardError
 * `file_invalid` for an unknown kind or wrong options.
 */
export function preparedRule(rule: PlacementRule): PreparedInjector {
  const known = prepared.get(rule)
  if (known !== undefined) return known
  const injector = byKind.get(rule.kind)
  if (injector === undefined) {
    throw new KeywardError(
      'file_invalid',
      `There is no way of injecting called ${JSON.stringify(rule.kind)}; there are ${[...byKind.keys()].join(', ')}.`,
    )
  }
  const { kind: _, ...options } = rule
  try {
    const made = injector.prepare(options)
    prepared.set(rule, made)
    return made
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const [issue] = error.issues
    const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`
    throw new KeywardError('file_invalid', `inject ${rule.kind}${where}: ${issue?.message ?? 'wrong options'}.`)
  }
}

/**
 * Where the request presents something in the place of a credential: which rule, which field, and
 * the text, which the caller looks up. Null when every place of the service is empty. Throws
 * KeywardError `placeholder_ambiguous` when more than one place is filled.
 */
export function findPlaceholder<Rule extends PlacementRule>(
  head: RequestHead,
  service: { readonly inject: readonly Rule[] },
): FoundPlaceholder<Rule> | null {
  let only: FoundPlaceholder<Rule> | null = null
  for (const rule of service.inject) {
    const found = preparedRule(rule).find(head)
    if (found === null) continue
    if (only !== null) {
      throw new KeywardError(
        'placeholder_ambiguous',
        `It stands in ${describeRule(only.rule)} and in ${describeRule(rule)}.`,
      )
    }
    only = { rule, ...found }
  }
  return only
}

/** The head with the credential in the rule's place, and nowhere else. Throws `field_missing` or `secret_not_injectable`. */
export function injectCredential(head: RequestHead, rule: PlacementRule, fields: FieldValues): RequestHead {
  return preparedRule(rule).inject(head, fields)
}

/** Texts other than the plain field values that this rule puts on the wire: the scrubber looks for these too. */
export function derivedTexts(rule: PlacementRule, fields: FieldValues): readonly string[] {
  return preparedRule(rule).derived(fields)
}

/** "header x-api-key", fit for a log. */
export function describeRule(rule: PlacementRule): string {
  return preparedRule(rule).describe()
}
