import { bearerOf, jsonAnswer, type Answer, type Call, type VendorRules } from './vendor.ts'

/**
 * Stripe: keys as a bearer token or as the user name of Basic (https://docs.stripe.com/api/authentication);
 * a wrong one is 401 `invalid_request_error`, which quotes the masked key (https://docs.stripe.com/api/errors).
 */
export function stripeRules(): VendorRules {
  return {
    name: 'stripe',
    presented: (call) => bearerOf(call) ?? basicUser(call),
    refuse: (presented) =>
      failure(
        401,
        presented === null
          ? 'You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth.'
          : `Invalid API Key provided: ${masked(presented)}`,
        { 'www-authenticate': 'Basic realm="Stripe"' },
      ),
    notFound: (call) => failure(404, `Unrecognized request URL (${call.method}: ${call.path}).`),
    answer: (call) => {
      const form = new URLSearchParams(call.body.toString('utf8'))
      if (call.path === '/v1/customers')
        return call.method === 'POST'
          ? jsonAnswer(200, customer(form.get('email')), ids())
          : list('/v1/customers', [customer(null)])
      if (call.path === '/v1/charges' && call.method === 'GET') return list('/v1/charges', [])
      if (call.path === '/v1/balance' && call.method === 'GET')
        return jsonAnswer(
          200,
          { object: 'balance', available: [{ amount: 0, currency: 'usd' }], livemode: false, pending: [] },
          ids(),
        )
      return null
    },
  }
}

function customer(email: string | null): Readonly<Record<string, unknown>> {
  return { id: 'cus_FakeVendor', object: 'customer', created: 1_767_225_600, email, livemode: false, metadata: {} }
}

function list(url: string, data: readonly unknown[]): Answer {
  return jsonAnswer(200, { object: 'list', url, has_more: false, data }, ids())
}

function failure(status: number, message: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return jsonAnswer(status, { error: { message, type: 'invalid_request_error' } }, { ...ids(), ...headers })
}

function basicUser(call: Call): string | null {
  const encoded = /^Basic (\S+)$/i.exec(call.headers.authorization ?? '')?.[1]
  return encoded === undefined ? null : (Buffer.from(encoded, 'base64').toString('utf8').split(':', 1)[0] ?? null)
}

function masked(key: string): string {
  return key.length < 12 ? '*'.repeat(key.length) : `${key.slice(0, 8)}${'*'.repeat(key.length - 12)}${key.slice(-4)}`
}

function ids(): Record<string, string> {
  return { 'request-id': 'req_FakeVendor', 'stripe-version': '2026-01-28.clover' }
}
