import { problemOf, type ErrorCode } from '../../core/errors.ts'
import type { HeaderPair } from '../../core/request.ts'
import type { Refusal } from '../refusal.ts'

/** google.golang.org/grpc/codes, as far as a refusal needs them. */
const status = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const

/** By what the same refusal is in HTTP. */
const byHttpStatus: ReadonlyMap<number, number> = new Map([
  [400, status.invalidArgument],
  [401, status.unauthenticated],
  [403, status.permissionDenied],
  [404, status.notFound],
  [405, status.unimplemented],
  [407, status.unauthenticated],
  [408, status.deadlineExceeded],
  [409, status.failedPrecondition],
  [413, status.resourceExhausted],
  [421, status.invalidArgument],
  [429, status.resourceExhausted],
  [501, status.unimplemented],
  [502, status.unavailable],
  [503, status.unavailable],
  [504, status.unavailable],
])

/** Clients repeat what was unavailable; these would be the same again. */
const byCode: Partial<Record<ErrorCode, number>> = {
  answer_withheld: status.unimplemented,
  upstream_untrusted: status.failedPrecondition,
}

/** What a gRPC client shows to its caller: the status, and code, reason and next step as its message. */
export function grpcRefusal(refusal: Refusal): HeaderPair[] {
  const problem = problemOf(refusal.refusal, refusal.detail, refusal.rule)
  const text = [`${problem.code}: ${problem.title}`, problem.detail, problem.next].filter(Boolean).join(' ')
  const grpcStatus = byCode[refusal.refusal] ?? byHttpStatus.get(problem.status) ?? status.internal
  return [
    ['grpc-status', String(grpcStatus)],
    ['grpc-message', percentEncoded(text)],
    ...(refusal.retryAfterSeconds === undefined
      ? []
      : [['grpc-retry-pushback-ms', String(refusal.retryAfterSeconds * 1000)] as const]),
  ]
}

/** Percent-Encoded of the gRPC protocol: bytes outside of 0x20 to 0x7e, and the percent sign. */
function percentEncoded(text: string): string {
  let encoded = ''
  for (const byte of Buffer.from(text))
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return encoded
}
