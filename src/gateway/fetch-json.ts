import { request as plainRequest, type IncomingMessage } from 'node:http'
import { request as secureRequest } from 'node:https'
import { isIP } from 'node:net'
import { KeywardError } from '../core/errors.ts'
import type { FetchJson } from '../identity/issuer-keys.ts'
import { checkedAddress, isLoopback, isPublicAddress, type Resolve, type ResolvedAddress } from './egress.ts'

/** Of a document that an issuer of logins gives. */
export const ISSUER_DOCUMENT_MAXIMUM_BYTES = 256 * 1024
/** How long it may take, name, connection and all. */
export const ISSUER_FETCH_MILLISECONDS = 5_000

/** Networks that an operator may mean who says that an issuer is in a private one (RFC 1918, RFC 6598, RFC 4193). */
const PRIVATE =
  /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|f[cd][0-9a-f]{2}:)/i

/**
 * Gets the documents of issuers: https that verifies, or http to loopback; to a checked address, without redirects,
 * bounded in time and size. An address of a private network only where the operator has said so, one of link-local
 * and metadata never.
 */
export function createFetchJson(resolve: Resolve): FetchJson {
  return async (text, { privateNetwork, authority }) => {
    const url = new URL(text)
    try {
      const signal = AbortSignal.timeout(ISSUER_FETCH_MILLISECONDS)
      const address = await within(addressOf(url, privateNetwork, resolve), signal)
      return JSON.parse(await get(url, address, authority, signal))
    } catch (error) {
      if (error instanceof KeywardError) throw error
      throw new KeywardError('issuer_unreachable', undefined, { cause: error })
    }
  }
}

async function addressOf(url: URL, privateNetwork: boolean, resolve: Resolve): Promise<ResolvedAddress> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (url.protocol === 'http:') {
    const address = host === 'localhost' ? '127.0.0.1' : host
    if (isLoopback(address)) return { address, family: isIP(address) }
    throw refused()
  }
  const reachable: Resolve = async (name) => {
    const found = isIP(name) === 0 ? await resolve(name) : [{ address: name, family: isIP(name) }]
    const isMeant = (one: ResolvedAddress): boolean =>
      isPublicAddress(one.address) || PRIVATE.test(one.address) || isLoopback(one.address)
    if (found.length > 0 && found.every(isMeant)) return found
    throw refused()
  }
  if (privateNetwork) {
    const [first] = await reachable(host)
    if (first === undefined) throw refused()
    return first
  }
  const checked = await checkedAddress(host, resolve)
  if ('refusal' in checked) throw refused()
  return { address: checked.address, family: isIP(checked.address) }
}

function refused(): KeywardError {
  return new KeywardError('issuer_unreachable', 'It has an address that Keyward does not dial.')
}

function within<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  signal.addEventListener('abort', () => reject(new Error('It took too long.')), { once: true })
  return Promise.race([work, promise])
}

function get(
  url: URL,
  { address, family }: ResolvedAddress,
  authority: string | null,
  signal: AbortSignal,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const options = {
    method: 'GET',
    agent: false as const,
    signal,
    headers: { accept: 'application/json' },
    // The address that was checked, whatever the name resolves to now.
    lookup: (_name: string, _options: unknown, done: (error: null, found: ResolvedAddress[]) => void) =>
      done(null, [{ address, family }]),
    ...(authority === null ? {} : { ca: authority }),
  }
  const read = (response: IncomingMessage): void => {
    if (response.statusCode !== 200) {
      response.destroy()
      return reject(new KeywardError('issuer_unreachable', `It answered ${response.statusCode}.`))
    }
    readAll(response).then(resolve, reject)
  }
  const sending = url.protocol === 'https:' ? secureRequest(url, options, read) : plainRequest(url, options, read)
  sending.on('error', reject)
  sending.end()
  return promise
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    const bytes = Buffer.from(chunk)
    size += bytes.byteLength
    if (size > ISSUER_DOCUMENT_MAXIMUM_BYTES)
      throw new KeywardError(
        'issuer_unreachable',
        `Its document is larger than ${ISSUER_DOCUMENT_MAXIMUM_BYTES} bytes.`,
      )
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}
