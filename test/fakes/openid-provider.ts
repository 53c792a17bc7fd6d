import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { Server } from 'node:http'

/**
 * A real OpenID provider (the package oidc-provider) on loopback, whose people log in by asking for
 * `/interaction/…`: nobody types anything. It checks PKCE, redirects and codes as any other.
 */
export interface OpenIdProvider {
  readonly issuer: string
  /** Whoever opens the address that a client shows: follows redirects until the client's own is met, and goes there. */
  visit(url: string, person: string): Promise<number>
  /** A token of a login that nobody here began; for attacks. */
  readonly provider: unknown
  close(): Promise<void>
}

interface Account {
  readonly email: string
  readonly verified: boolean
}

export async function startOpenIdProvider(options: {
  readonly clientId: string
  readonly accounts: ReadonlyMap<string, Account>
}): Promise<OpenIdProvider> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const issuer = `http://127.0.0.1:${portOf(server)}`
  // The package has no types of its own, and tests alone use it.
  const { default: Provider } = await import('oidc-provider')
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: options.clientId,
        token_endpoint_auth_method: 'none',
        application_type: 'native',
        grant_types: ['authorization_code'],
        response_types: ['code'],
        redirect_uris: ['http://127.0.0.1/callback'],
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: 'one', alg: 'RS256' }] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    cookies: { keys: ['a key of this test'] },
    interactions: { url: (_: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}` },
    findAccount: (_: unknown, id: string) => {
      const account = options.accounts.get(id)
      return account === undefined
        ? undefined
        : {
            accountId: id,
            claims: () => ({ sub: id, email: account.email, email_verified: account.verified, name: id }),
          }
    },
  })
  const callback = provider.callback()
  let visitor = ''
  server.on('request', async (request, response) => {
    if (!(request.url ?? '').startsWith('/interaction/')) return callback(request, response)
    const { prompt, params, session } = await provider.interactionDetails(request, response)
    if (prompt.name === 'login') {
      await provider.interactionFinished(request, response, { login: { accountId: visitor } })
      return
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id })
    grant.addOIDCScope('openid email profile')
    await provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } })
  })

  return {
    issuer,
    provider,
    async visit(url, person) {
      visitor = person
      const cookies = new Map<string, string>()
      let next = url
      for (let hop = 0; hop < 12; hop += 1) {
        // oxlint-disable-next-line no-await-in-loop -- one redirect after the other
        const answer = await fetch(next, {
          redirect: 'manual',
          headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
        })
        for (const cookie of answer.headers.getSetCookie()) {
          const [pair = ''] = cookie.split(';')
          cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1))
        }
        const location = answer.headers.get('location')
        if (location === null) return answer.status
        next = new URL(location, next).href
      }
      throw new Error('The provider sends its visitors in circles.')
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function portOf(server: Server): number {
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('Nothing listens.')
  return bound.port
}
