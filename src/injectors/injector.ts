import type { z } from 'zod'
import type { HeaderPair, RequestHead } from '../core/request.ts'

/** What all injectors have in common, whatever they read. */
interface Described<Options> {
  readonly kind: string
  /** Strict: an option that the injector does not know is an error. Reads the rule without its `kind`. */
  readonly options: z.ZodType<Options>
  /** The one part of the request that `inject` may change. */
  place(options: Options): Place
  /** Names of the fields that `inject` reads. */
  fields(options: Options): readonly string[]
  /** Every text that was put on the wire and could come back in an answer (the Basic composite, for example), without the plain field values. */
  derived(options: Options, fields: FieldValues): readonly string[]
  /** Fit for a log: "header x-api-key". */
  describe(options: Options): string
  /** Rules that the conformance suite tries, without `kind`. */
  readonly samples: readonly unknown[]
}

/**
 * Puts a credential into the head of a request. Pure: no clock, no network, no state. An injector touches only
 * the place that it declares, removes whatever stood there in any spelling, writes it exactly once,
 * and refuses (KeywardError `secret_not_injectable`) a value with a control character. The suite in
 * `conformance.ts` holds every registered injector to this.
 */
export interface Injector<Options = unknown> extends Described<Options> {
  /**
   * Text that stands in this injector's place and might be a placeholder (still encoded forms such as
   * Basic are decoded), or null if the place is empty or holds another scheme. The place filled twice
   * throws KeywardError `placeholder_ambiguous`. Field name says which field it stands for.
   */
  find(head: RequestHead, options: Options): Found | null
  /** Throws KeywardError `field_missing` or `secret_not_injectable`. */
  inject(head: RequestHead, options: Options, fields: FieldValues): RequestHead
}

/**
 * The same for one that reads the body. The body is there in one piece, in bounds, before the request is
 * located; requests to services without such a rule do not wait for theirs.
 */
export interface BodyInjector<Options = unknown> extends Described<Options> {
  /** Whether a request with this head may hold something in the place, so that its body must be here. */
  readsBody(head: RequestHead, options: Options): boolean
  /** Also throws KeywardError `body_not_injectable` where the body cannot be read in one way only. */
  find(request: WholeRequest, options: Options): Found | null
  /** Throws `body_not_injectable` where the body has no such place: nothing but the place may change. */
  inject(request: WholeRequest, options: Options, fields: FieldValues): WholeRequest
  /** A body with the place empty, and the headers that belong to it, for the conformance suite; null: the place is in the head. */
  blank(options: Options): Blank | null
  /** Present where the caller does not show a secret placeholder but signs with it. */
  readonly proof?: Proof<Options>
}

interface Blank {
  readonly contentType: string
  readonly body: string
}

/**
 * What stands in the place then only says whose signature it claims to be. Nothing is taken for proven, and
 * nobody for identified, before `verify` returns.
 */
export interface Proof<Options> {
  /** Fields that are signed with, and so are never sent. */
  fields(options: Options): readonly string[]
  /**
   * Throws KeywardError `signature_invalid`, `signature_expired` or `signature_unsupported`. `placeholders`: the
   * texts for the fields above. `now`: milliseconds since the Unix epoch.
   */
  verify(sent: SentRequest, options: Options, placeholders: FieldValues, now: number): void
  /** The request as a caller sends it that holds these values as its own, for the conformance suite. */
  example(request: WholeRequest, options: Options, fields: FieldValues, now: number): WholeRequest
}

/** A request as its sender wrote it, before anything was made canonical: that is what was signed. */
export interface SentRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: readonly HeaderPair[]
  /** Null: it was not read. */
  readonly body: Uint8Array | null
}

export type Place =
  /** `beside`: headers that belong to it, taken out or written together with it. */
  | { readonly in: 'header'; readonly name: string; readonly beside?: readonly string[] }
  | { readonly in: 'query'; readonly name: string }
  | { readonly in: 'path' }
  | { readonly in: 'body' }

export interface Found {
  readonly field: string
  readonly text: string
}

/** A request with its body; null where there is none, and where no injector of the service reads it. */
export interface WholeRequest {
  readonly head: RequestHead
  readonly body: Uint8Array | null
}

/** Field name to its value, secret or public, as text. Exists only between opening the vault and writing the head. */
export type FieldValues = Readonly<Record<string, string>>

/** An injector with the options of one rule, checked. */
export interface PreparedInjector {
  readonly kind: string
  readonly place: Place
  readonly fields: readonly string[]
  /** Null: it reads heads alone. */
  readonly readsBody: ((head: RequestHead) => boolean) | null
  find(request: WholeRequest): Found | null
  inject(request: WholeRequest, fields: FieldValues): WholeRequest
  derived(fields: FieldValues): readonly string[]
  describe(): string
  readonly blank: Blank | null
  readonly proof: PreparedProof | null
}

interface PreparedProof {
  readonly fields: readonly string[]
  verify(sent: SentRequest, placeholders: FieldValues, now: number): void
  example(request: WholeRequest, fields: FieldValues, now: number): WholeRequest
}

/** An injector whose option type is closed over, so that a list can hold all of them. */
export interface RegisteredInjector {
  readonly kind: string
  readonly samples: readonly unknown[]
  /** Checks the options (a rule without its `kind`). Throws a ZodError. */
  prepare(options: unknown): PreparedInjector
}

export function defineInjector<Options>(injector: Injector<Options>): RegisteredInjector {
  return register(injector, (options) => ({
    readsBody: null,
    blank: null,
    proof: null,
    find: ({ head }) => injector.find(head, options),
    inject: ({ head, body }, fields) => ({ head: injector.inject(head, options, fields), body }),
  }))
}

export function defineBodyInjector<Options>(injector: BodyInjector<Options>): RegisteredInjector {
  const { proof } = injector
  return register(injector, (options) => ({
    readsBody: (head) => injector.readsBody(head, options),
    blank: injector.blank(options),
    proof:
      proof === undefined
        ? null
        : {
            fields: proof.fields(options),
            verify: (sent, placeholders, now) => proof.verify(sent, options, placeholders, now),
            example: (request, fields, now) => proof.example(request, options, fields, now),
          },
    find: (request) => injector.find(request, options),
    inject: (request, fields) => injector.inject(request, options, fields),
  }))
}

function register<Options>(
  injector: Described<Options>,
  own: (options: Options) => Pick<PreparedInjector, 'readsBody' | 'blank' | 'proof' | 'find' | 'inject'>,
): RegisteredInjector {
  return {
    kind: injector.kind,
    samples: injector.samples,
    prepare(unchecked) {
      const options = injector.options.parse(unchecked)
      return {
        kind: injector.kind,
        place: injector.place(options),
        fields: injector.fields(options),
        derived: (fields) => injector.derived(options, fields),
        describe: () => injector.describe(options),
        ...own(options),
      }
    },
  }
}
