import { createHash, type Hash } from 'node:crypto'
import type { RequestHead } from './request.ts'

/** Everything that an approval is for: the request as it will be sent, but for the credential, and under which policy. */
export interface ApprovedRequest {
  readonly head: RequestHead
  readonly body: Uint8Array
  /** The protocol to go on with, or empty. */
  readonly upgrade: string
  readonly sessionId: string
  readonly agentId: string
  readonly credentialId: string
  /** Revision of the service's row. */
  readonly service: string
  /** Revision of the grants of this agent for this credential. */
  readonly grants: string
}

const DOMAIN = 'keyward approval 1'

/**
 * SHA-256 of the request, hexadecimal. Each part stands behind its length, so that no two requests are one text;
 * the whole form is in docs/formats/approval.md.
 */
export function digestOfRequest(request: ApprovedRequest): string {
  const { head, body } = request
  const hash = createHash('sha256')
  put(hash, DOMAIN)
  for (const part of [request.sessionId, request.agentId, request.credentialId, request.service, request.grants])
    put(hash, part)
  for (const part of [head.scheme, head.host, String(head.port), head.target, head.method, request.upgrade])
    put(hash, part)
  put(hash, String(head.headers.length))
  for (const [name, value] of head.headers) {
    put(hash, name)
    put(hash, value)
  }
  put(hash, digestOfBody(body))
  return hash.digest('hex')
}

export function digestOfBody(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex')
}

/** What one approval is for: the request, and the nonce that no other approval has. */
export function digestOfApproval(request: string, nonce: string): string {
  const hash = createHash('sha256')
  for (const part of [DOMAIN, request, nonce]) put(hash, part)
  return hash.digest('hex')
}

function put(hash: Hash, part: string): void {
  const bytes = Buffer.from(part, 'utf8')
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(BigInt(bytes.byteLength))
  hash.update(length).update(bytes)
}
