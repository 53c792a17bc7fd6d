import { request } from 'node:http'
import type { HeldView } from '../api/answers.ts'
import { KeywardError } from '../core/errors.ts'
import { problemError, readAll } from './control-client.ts'

const CALL_TIMEOUT_MILLISECONDS = 30_000

/** What the gateway answers to the holder of a narrowed token (docs/formats/token.md). */
export interface NarrowedView {
  readonly id: string
  readonly sessionId: string
  readonly agent: string
  readonly environment: string
  readonly egress: 'open' | 'deny'
  readonly expiresAt: number
  readonly credentials: readonly HeldView[]
  readonly gateway: { readonly address: string; readonly socket: string | null }
  readonly caCertificate: string
}

/** Asks the gateway at `host`:`port` for the placeholders of a narrowed token. Throws as the control client does. */
export async function registerNarrowed(
  { host, port }: { readonly host: string; readonly port: number },
  token: string,
): Promise<NarrowedView> {
  const headers = { authorization: `Bearer ${token}`, 'content-length': 0 }
  const options = { host, port, method: 'POST', path: '/session/narrowed', headers, agent: false as const }
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const sending = request({ ...options, signal: AbortSignal.timeout(CALL_TIMEOUT_MILLISECONDS) }, (response) => {
    readAll(response).then((text) => {
      const status = response.statusCode ?? 500
      if (status === 200) resolve(text)
      else reject(problemError(text, status))
    }, reject)
  })
  sending.on('error', (error) =>
    reject(new KeywardError('server_unreachable', 'Its gateway does not answer.', { cause: error })),
  )
  sending.end()
  return JSON.parse(await promise)
}
