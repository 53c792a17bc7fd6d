import type { z } from 'zod'
import type { RequestHead } from '../core/request.ts'

/**
 * Puts a credential into a request. Pure: no clock, no network, no state. An injector touches only
 * the place that it declares, removes whatever stood there in any spelling, writes it exactly once,
 * and refuses (KeywardError `secret_not_injectable`) a value with a control character.
 */
export interface Injector<Options = unknown> {
  readonly kind: string
  readonly options: z.ZodType<Options>
  /**
   * Text that stands in this injector's place and might be a placeholder (still encoded forms such as
   * Basic are decoded), or null if the place is empty. Ambiguity (the place filled twice) throws
   * KeywardError `placeholder_ambiguous`. Field name says which field it stands for.
   */
  find(head: RequestHead, options: Options): { readonly field: string; readonly text: string } | null
  inject(head: RequestHead, options: Options, fields: FieldValues): RequestHead
  /** Every text that was put on the wire and could come back in an answer (the Basic composite, for example), without the plain field values. */
  derived(options: Options, fields: FieldValues): readonly string[]
  /** Fit for a log: "header x-api-key". */
  describe(options: Options): string
}

/** Field name to its value, secret or public, as text. Exists only between opening the vault and writing the head. */
export type FieldValues = Readonly<Record<string, string>>
