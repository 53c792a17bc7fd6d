import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { RequestHead } from '../core/request.ts'
import { soleHeader } from './header-place.ts'
import { injectors } from './index.ts'
import type { FieldValues, Found, PreparedInjector, RegisteredInjector, WholeRequest } from './injector.ts'

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

/** What a program without a key sends: a scheme at most. */
const EMPTY_CREDENTIAL = /^(?:bearer|basic|token)?\s*$/i

/**
 * Where the request presents something in the place of a credential: which rule, which field, and
 * the text, which the caller looks up. Null when every place of the service is empty. Throws
 * KeywardError `placeholder_ambiguous` when more than one place is filled, and `placeholder_required`
 * when a header that the service reads credentials from holds something in a form of its own: it would
 * either go out beside the injected credential or be replaced without a word. Also `body_not_injectable`: see
 * `BodyInjector`. The body is needed where `bodyReaders` says so.
 */
export function findPlaceholder<Rule extends PlacementRule>(
  head: RequestHead,
  service: { readonly inject: readonly Rule[] },
  body: Uint8Array | null = null,
): FoundPlaceholder<Rule> | null {
  const request: WholeRequest = { head, body }
  let only: FoundPlaceholder<Rule> | null = null
  for (const rule of service.inject) {
    const found = preparedRule(rule).find(request)
    if (found === null) continue
    if (only !== null) {
      throw new KeywardError(
        'placeholder_ambiguous',
        `It stands in ${describeRule(only.rule)} and in ${describeRule(rule)}.`,
      )
    }
    only = { rule, ...found }
  }
  if (only === null || service.inject.length > 1) refuseUnread(head, service.inject, only?.rule)
  return only
}

function refuseUnread(head: RequestHead, rules: readonly PlacementRule[], read: PlacementRule | undefined): void {
  const readPlace = read === undefined ? null : preparedRule(read).place
  for (const rule of rules) {
    const { place } = preparedRule(rule)
    if (place.in !== 'header' || (readPlace?.in === 'header' && readPlace.name === place.name)) continue
    const value = soleHeader(head, place.name)
    if (value === null || EMPTY_CREDENTIAL.test(value)) continue
    const detail = `The header ${place.name} is filled in a form that the service does not read.`
    throw new KeywardError('placeholder_required', detail)
  }
}

/** The rules of a service that read bodies; mostly none. */
export function bodyReaders(rules: readonly PlacementRule[]): readonly ((head: RequestHead) => boolean)[] {
  return rules.map((rule) => preparedRule(rule).readsBody).filter((reads) => reads !== null)
}

/** Lower-case names of the headers that this rule reads, writes or takes out. */
export function headersOf(rule: PlacementRule): readonly string[] {
  const { place } = preparedRule(rule)
  return place.in === 'header' ? [place.name, ...(place.beside ?? [])] : []
}

/** Fields whose placeholders callers of a service sign with. */
export function signingFields(rules: readonly PlacementRule[]): readonly string[] {
  return rules.flatMap((rule) => preparedRule(rule).proof?.fields ?? [])
}

/**
 * The request with the credential in the rule's place, and nowhere else. Throws `field_missing`,
 * `secret_not_injectable` or `body_not_injectable`.
 */
export function injectCredential(request: WholeRequest, rule: PlacementRule, fields: FieldValues): WholeRequest {
  return preparedRule(rule).inject(request, fields)
}

/** Texts other than the plain field values that this rule puts on the wire: the scrubber looks for these too. */
export function derivedTexts(rule: PlacementRule, fields: FieldValues): readonly string[] {
  return preparedRule(rule).derived(fields)
}

/** "header x-api-key", fit for a log. */
export function describeRule(rule: PlacementRule): string {
  return preparedRule(rule).describe()
}
