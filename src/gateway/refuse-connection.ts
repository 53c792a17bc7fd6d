import type { Duplex } from 'node:stream'
import { problemOf } from '../core/errors.ts'
import { REFUSAL_HEADER, type Refusal } from './refusal.ts'

/** How long a client whose connection ends may take to read the last answer. */
export const REFUSED_MILLISECONDS = 5_000

/**
 * Says why in HTTP/1.1, where there is something to say, and closes the connection in a way that lets the
 * client read it: what it still sends is read and thrown away for a while, since bytes left in the socket
 * would reset it.
 */
export function tellAndClose(stream: Duplex, refusal: Refusal | null): void {
  if (stream.destroyed) return
  if (refusal === null) stream.end()
  else stream.end(refusalBytes(refusal))
  stream.resume()
  const timer = setTimeout(() => stream.destroy(), REFUSED_MILLISECONDS)
  stream.once('close', () => clearTimeout(timer))
}

function refusalBytes(refusal: Refusal): string {
  const problem = problemOf(refusal.refusal, refusal.detail, refusal.rule)
  const body = `${JSON.stringify(problem)}\n`
  const lines = [
    `HTTP/1.1 ${problem.status} ${problem.status === 407 ? 'Proxy Authentication Required' : 'Refused'}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    `${REFUSAL_HEADER}: ${refusal.refusal}`,
    'connection: close',
    ...(problem.status === 407 ? ['proxy-authenticate: Basic realm="keyward"'] : []),
  ]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}
