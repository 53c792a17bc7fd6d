import { spawn } from 'node:child_process'
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { OidcBeginning } from '../identity/person-oidc.ts'

const TOKEN_MILLISECONDS = 30_000
const TOKEN_MAXIMUM_BYTES = 256 * 1024

const tokens = z.looseObject({ id_token: z.string() })

/**
 * Sends the person to the provider and comes back with an ID token: the authorization code flow with PKCE (RFC 7636)
 * over a redirect to loopback (RFC 8252 section 7.3). `show` is given the address that the person has to open.
 * Throws `login_invalid`.
 */
export async function idTokenByBrowser(
  beginning: OidcBeginning,
  show: (url: string) => void,
  now: () => number = Date.now,
): Promise<string> {
  const verifier = randomBytes(48).toString('base64url')
  const state = randomBytes(32).toString('base64url')
  const answer = await awaitAnswer(state, beginning, now)
  const url = new URL(beginning.authorizationEndpoint)
  const asked = {
    response_type: 'code',
    client_id: beginning.clientId,
    redirect_uri: answer.redirectUri,
    scope: beginning.scope,
    state,
    nonce: beginning.nonce,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    prompt: 'login',
  }
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value)
  show(url.href)
  const code = await answer.code
  return fetchToken(beginning, { code, redirect_uri: answer.redirectUri, code_verifier: verifier })
}

/** Opens the address in the person's browser, where there is one; whether it works nobody knows. */
export function openBrowser(url: string): void {
  const program = process.platform === 'darwin' ? 'open' : 'xdg-open'
  const child = spawn(program, [url], { stdio: 'ignore', detached: true })
  child.on('error', () => undefined)
  child.unref()
}

/** Listens on loopback for the one answer that carries our state. */
async function awaitAnswer(
  state: string,
  { issuer, expiresAt }: OidcBeginning,
  now: () => number,
): Promise<{ redirectUri: string; code: Promise<string> }> {
  const answered = Promise.withResolvers<string>()
  const server = createServer((request, response) => {
    const url = URL.parse(request.url ?? '', 'http://127.0.0.1')
    const parameters = url?.pathname === '/callback' && request.method === 'GET' ? url.searchParams : null
    const isOurs = parameters !== null && isSame(parameters.get('state') ?? '', state)
    response.writeHead(isOurs ? 200 : 404, {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      connection: 'close',
    })
    response.end(isOurs ? 'You can close this page and go back to the terminal.\n' : '')
    if (!isOurs) return
    const code = parameters.get('code')
    // RFC 9207: who answers says who he is, so that one provider's code is not taken for another's.
    const from = parameters.get('iss')
    if (from !== null && from !== issuer)
      answered.reject(new KeywardError('login_invalid', 'Another provider answered.'))
    else if (code === null || code === '')
      answered.reject(new KeywardError('login_invalid', 'The provider did not let this person in.'))
    else answered.resolve(code)
  })
  server.maxConnections = 16
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve())
  })
  const timer = setTimeout(
    () => answered.reject(new KeywardError('login_invalid', 'Nobody came back from the provider in time.')),
    Math.max(0, expiresAt - now()),
  )
  const { port } = addressOf(server.address())
  const code = answered.promise.finally(() => {
    clearTimeout(timer)
    server.close()
  })
  return { redirectUri: `http://127.0.0.1:${port}/callback`, code }
}

async function fetchToken(
  { tokenEndpoint, clientId }: OidcBeginning,
  fields: Readonly<Record<string, string>>,
): Promise<string> {
  const answer = await fetch(tokenEndpoint, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams({ grant_type: 'authorization_code', client_id: clientId, ...fields }),
    redirect: 'error',
    signal: AbortSignal.timeout(TOKEN_MILLISECONDS),
  }).catch((error: unknown) => {
    throw new KeywardError('login_invalid', 'The provider could not be asked for the token.', { cause: error })
  })
  const text = await answer.text()
  const read = text.length > TOKEN_MAXIMUM_BYTES || !answer.ok ? null : tokens.safeParse(parsed(text))
  if (read === null || !read.success) throw new KeywardError('login_invalid', 'The provider gave no token.')
  return read.data.id_token
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function isSame(left: string, right: string): boolean {
  const [one, other] = [Buffer.from(left), Buffer.from(right)]
  return one.byteLength === other.byteLength && timingSafeEqual(one, other)
}

function addressOf(bound: AddressInfo | string | null): AddressInfo {
  if (bound === null || typeof bound === 'string') throw new KeywardError('internal', 'Nothing listens.')
  return bound
}
