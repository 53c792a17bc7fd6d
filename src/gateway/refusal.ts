import { KeywardError, problemOf, type ErrorCode } from '../core/errors.ts'
import type { HeaderPair } from '../core/request.ts'
import type { Caller } from '../identity/sessions.ts'
import { grpcRefusal } from './grpc/refusal.ts'
import type { Reply } from './reply.ts'

/** A stage's no: the code, a sentence about this very case, and the rule that said so. */
export interface Refusal {
  readonly refusal: ErrorCode
  readonly detail?: string
  readonly rule?: string
  readonly retryAfterSeconds?: number
  /** The condition that refuses asks about the body, which nobody has read yet. */
  readonly wantsBody?: true
  /** The id of the approval that this is about. */
  readonly approval?: string
  /** Who was refused, once that is known: the journal names them, the answer does not. */
  readonly caller?: Caller
  /** What the journal is told beside that, and the answer is not. */
  readonly facts?: Readonly<Record<string, string | number>>
}

/** The same refusal, with the one whom it met. */
export function refusedTo(caller: Caller, refusal: Refusal): Refusal {
  return { ...refusal, caller }
}

/** A KeywardError as the refusal that it means; anything else is thrown on. */
export function refusalFrom(error: unknown): Refusal {
  if (!(error instanceof KeywardError)) throw error
  return { refusal: error.code, ...(error.detail === undefined ? {} : { detail: error.detail }) }
}

export function isRefusal<T extends object>(value: T): value is Extract<T, { readonly refusal: ErrorCode }> {
  return 'refusal' in value
}

/** By this header an agent tells Keyward's no from the upstream's no. */
export const REFUSAL_HEADER = 'keyward-error'

/** Answers with problem JSON (RFC 9457), or breaks the answer off if it has begun. */
export function sendRefusal(reply: Reply, refusal: Refusal): void {
  if (reply.grpc === true) return refuseGrpc(reply, refusal)
  if (reply.started) {
    reply.destroy()
    return
  }
  const problem = problemOf(refusal.refusal, refusal.detail, refusal.rule)
  const { approval } = refusal
  const body = Buffer.from(`${JSON.stringify(approval === undefined ? problem : { ...problem, approval })}\n`)
  const headers: HeaderPair[] = [
    ['content-type', 'application/problem+json'],
    ['content-length', String(body.byteLength)],
    ['cache-control', 'no-store'],
    // Official SDKs would otherwise repeat for a minute what will be refused again.
    ...(refusal.retryAfterSeconds === undefined && problem.status < 500 ? [['x-should-retry', 'false'] as const] : []),
    [REFUSAL_HEADER, refusal.refusal],
  ]
  if (problem.status === 407) headers.push(['proxy-authenticate', 'Basic realm="keyward"'])
  if (refusal.retryAfterSeconds !== undefined) headers.push(['retry-after', String(refusal.retryAfterSeconds)])
  reply.respond(problem.status, headers, body)
}

/** Trailers alone, or at the end of what has begun: without a status of zero no cut answer is taken for a whole one. */
function refuseGrpc(reply: Reply, refusal: Refusal): void {
  const trailers = grpcRefusal(refusal)
  if (reply.started) return reply.end([...trailers, [REFUSAL_HEADER, refusal.refusal]])
  const head: HeaderPair[] = [['content-type', 'application/grpc'], ...trailers, [REFUSAL_HEADER, refusal.refusal]]
  reply.respond(200, head, new Uint8Array(0))
}
