import type { z } from 'zod'
import type { RequestHead } from '../core/request.ts'

/**
 * Puts a credential into a request. Pure: no clock, no network, no state. An injector touches only
 * the place that it declares, removes whatever stood there in any spelling, writes it exactly once,
 * and refuses (KeywardError `secret_not_injectable`) a value with a control character. The suite in
 * `conformance.ts` holds every registered injector to this.
 */
export interface Injector<Options = unknown> {
  readonly kind: string
  /** Strict: an option that the injector does not know is an error. Reads the rule without its `kind`. */
  readonly options: z.ZodType<Options>
  /** The one part of the head that `inject` may change. */
  place(options: Options): Place
  /** Names of the fields that `inject` reads. */
  fields(options: Options): readonly string[]
  /**
   * Text that stands in this injector's place and might be a placeholder (still encoded forms such as
   * Basic are decoded), or null if the place is empty or holds another scheme. The place filled twice
   * throws KeywardError `placeholder_ambiguous`. Field name says which field it stands for.
   */
  find(head: RequestHead, options: Options): Found | null
  /** Throws KeywardError `field_missing` or `secret_not_injectable`. */
  inject(head: RequestHead, options: Options, fields: FieldValues): RequestHead
  /** Every text that was put on the wire and could come back in an answer (the Basic composite, for example), without the plain field values. */
  derived(options: Options, fields: FieldValues): readonly string[]
  /** Fit for a log: "header x-api-key". */
  describe(options: Options): string
  /** Rules that the conformance suite tries, without `kind`. */
  readonly samples: readonly unknown[]
}

export type Place =
  | { readonly in: 'header'; readonly name: string }
  | { readonly in: 'query'; readonly name: string }
  | { readonly in: 'path' }

export interface Found {
  readonly field: string
  readonly text: string
}

/** Field name to its value, secret or public, as text. Exists only between opening the vault and writing the head. */
export type FieldValues = Readonly<Record<string, string>>

/** An injector with the options of one rule, checked. */
export interface PreparedInjector {
  readonly kind: string
  readonly place: Place
  readonly fields: readonly string[]
  find(head: RequestHead): Found | null
  inject(head: RequestHead, fields: FieldValues): RequestHead
  derived(fields: FieldValues): readonly string[]
  describe(): string
}

/** An injector whose option type is closed over, so that a list can hold all of them. */
export interface RegisteredInjector {
  readonly kind: string
  readonly samples: readonly unknown[]
  /** Checks the options (a rule without its `kind`). Throws a ZodError. */
  prepare(options: unknown): PreparedInjector
}

export function defineInjector<Options>(injector: Injector<Options>): RegisteredInjector {
  return {
    kind: injector.kind,
    samples: injector.samples,
    prepare(unchecked) {
      const options = injector.options.parse(unchecked)
      return {
        kind: injector.kind,
        place: injector.place(options),
        fields: injector.fields(options),
        find: (head) => injector.find(head, options),
        inject: (head, fields) => injector.inject(head, options, fields),
        derived: (fields) => injector.derived(options, fields),
        describe: () => injector.describe(options),
      }
    },
  }
}
