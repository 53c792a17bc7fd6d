import type { CallLanguage } from '../core/call-pattern.ts'

/**
 * One API that credentials open, as a row of data. Adding a service is one file that exports such a
 * row and one line in `index.ts`; nothing else may know its name.
 */
export interface Service {
  readonly id: string
  readonly name: string
  /**
   * Where the credential may go, and nowhere else: exact lower-case host names; `*.example.com` stands
   * for exactly one label; `{field}.example.com` is filled in from a public field of the credential.
   * The first is where base-URL requests go.
   */
  readonly hosts: readonly string[]
  /** Where to dial instead of `hosts`: an origin (`https://127.0.0.1:9443`). Private addresses and plain HTTP (loopback only) are allowed only when written here. */
  readonly endpoint?: string
  /** PEM text of an extra certificate authority, for this service alone. */
  readonly trust?: string
  /** It is spoken to in HTTP/2 and nothing else, without TLS as well. Otherwise HTTP/2 is offered to it (ALPN) for requests that came over HTTP/2. */
  readonly http2?: boolean
  /** Name of each field of a credential, and whether its value is secret. */
  readonly fields: Readonly<Record<string, FieldKind>>
  /** The places where the credential may be put, most usual first. A request uses the place in which it presents its placeholder; a request that presents none uses the first. */
  readonly inject: readonly InjectionRule[]
  /** The variables which the official SDKs read. */
  readonly variables: ServiceVariables
  /** Named operations, matched in order: the first whose pattern fits gives the name. */
  readonly operations: readonly Operation[]
  /** Where the body, and not the path, says what is done: there requests are judged by the calls in it. */
  readonly speaks?: readonly Speech[]
  /** Id of the detector that knows the shape of the key. */
  readonly detector?: string
  /** Path segments may contain `%2F` (GitLab projects, npm scopes): such a segment stays one segment. */
  readonly encodedSlash?: boolean
  /** Calls whose answer hands out a credential, or that make one valid: refused (`METHOD /path` patterns, `*` for any method; `GRAPHQL` and `RPC` patterns, `GRAPHQL field NAME` among them). Absent where the vendor has no such call. */
  readonly sealed?: readonly string[]
  /** Calls whose answer may hold a token or key for the agent to have (`METHOD /path` patterns): it is not withheld. What is sealed stays so. */
  readonly handsOut?: readonly string[]
  /** Places in text messages of a WebSocket where a credential may be put: a placeholder there is replaced, anywhere else it stays. Absent where the vendor takes none in messages. */
  readonly frames?: readonly FramePlace[]
  /** Whether the row was checked against an official SDK, or rests on documentation alone. */
  readonly checked: 'sdk' | 'documented'
  /** What was opened to write the row, and which facts nothing confirmed (`… documented only, not confirmed`). */
  readonly source: string
}

export type FieldKind = 'secret' | 'public'

/** `kind` names an injector; the other members are that injector's options, validated by its schema. */
export interface InjectionRule {
  readonly kind: string
  readonly [option: string]: unknown
}

/** A path (`/graphql`, with `{x}`, `*` and `**` as in patterns), and what is spoken there. */
export interface Speech {
  readonly path: string
  readonly language: CallLanguage
}

/** A JSON Pointer (RFC 6901) into a message, and the secret field that stands there. */
export interface FramePlace {
  readonly pointer: string
  readonly field: string
}

export interface ServiceVariables {
  /** Field name to the variables that carry it, most usual first. */
  readonly fields: Readonly<Record<string, readonly string[]>>
  /** Variables that carry the base URL. */
  readonly baseUrl?: readonly string[]
  /** What a base URL has after the service's origin, as the SDK expects it: `/v1`, or empty. */
  readonly basePath?: string
  /** Base-URL variables of other services that its SDK reads before its own. While a credential of this service is held they are not set, so that its requests do not end at the other service. */
  readonly shadowedBy?: readonly string[]
}

export interface Operation {
  readonly name: string
  /**
   * `METHOD /path/{variable}/**`: `{x}` or `*` is one segment, `**` the rest, METHOD may be `*`. Where the service
   * speaks a language of calls: `GRAPHQL query|mutation|subscription FIELD`, `RPC METHOD`, `RPC tools/call TOOL`.
   */
  readonly match: string
  readonly destructive?: boolean
}
