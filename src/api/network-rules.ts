import type { Context, MiddlewareHandler } from 'hono'
import { isIP } from 'node:net'
import { KeywardError } from '../core/errors.ts'
import { freshRate, takeRate, type RateState } from '../core/rate.ts'

/** Failed logins a minute from one address, and from all of them. */
export const FAILED_LOGINS_OF_ONE_LIMIT = { count: 30, perSeconds: 60 } as const
export const FAILED_LOGINS_OF_ALL_LIMIT = { count: 300, perSeconds: 60 } as const
/** Addresses whose failures are counted; the one that failed longest ago is forgotten first. */
export const COUNTED_ADDRESSES_MAXIMUM = 10_000

/** What every answer says to a browser: run nothing from elsewhere, be framed nowhere, keep nothing, tell nobody. */
const answerHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
} as const

/**
 * What a browser on the operator's machine must not be used for by the pages of others. The Host must be this server's
 * own (a name that was led here by DNS rebinding is not); a request that a page of another origin makes is refused,
 * whatever it brings (`Origin`, and `Sec-Fetch-Site` of the Fetch Metadata draft); nothing is read from cookies, none
 * are set, and no answer may be framed or read across origins.
 */
export function networkRules(options: {
  /** Names and addresses, besides `localhost` on loopback, by which this server is asked. */
  readonly hosts: readonly string[]
  readonly isTls: boolean
}): MiddlewareHandler {
  const own = new Set(options.hosts.map((host) => host.toLowerCase()))
  const scheme = options.isTls ? 'https' : 'http'
  return async (context, next) => {
    const host = (context.req.header('host') ?? '').toLowerCase()
    if (!own.has(nameOf(host))) throw new KeywardError('host_mismatch', 'This server has another name.')
    const origin = context.req.header('origin')
    if (origin !== undefined && origin.toLowerCase() !== `${scheme}://${host}`) throw new KeywardError('origin_refused')
    if (!isOwnSite(context)) throw new KeywardError('origin_refused')
    await next()
    withAnswerHeaders(context.res)
    if (options.isTls) context.res.headers.set('strict-transport-security', 'max-age=31536000')
  }
}

/** Those headers, on an answer that no rule has seen. */
export function withAnswerHeaders(response: Response): Response {
  for (const [name, value] of Object.entries(answerHeaders)) response.headers.set(name, value)
  return response
}

/** What a person opens himself (`none`), and what our own pages ask for. A program sends no such header. */
function isOwnSite(context: Context): boolean {
  const site = context.req.header('sec-fetch-site')
  if (site === undefined || site === 'same-origin') return true
  // A page may be opened from anywhere the person chooses to type or click it, for opening it does nothing.
  return site === 'none' && context.req.method === 'GET'
}

function nameOf(host: string): string {
  const name = host.replace(/:\d{1,5}$/, '').replace(/^\[(.*)\]$/, '$1')
  return isIP(name) === 0 ? name.replace(/\.$/, '') : name
}

export interface Attempts {
  /** Throws `too_many_attempts` where this address, or all of them, failed too often lately. */
  check(address: string | null): void
  fail(address: string | null): void
}

export function createAttempts({ now }: { readonly now: () => number }): Attempts {
  const ofOne = new Map<string | null, RateState>()
  let ofAll: RateState = freshRate
  const isFull = (state: RateState, limit: { count: number; perSeconds: number }): boolean =>
    !takeRate(state, limit, now()).taken
  return {
    check(address) {
      if (
        isFull(ofAll, FAILED_LOGINS_OF_ALL_LIMIT) ||
        isFull(ofOne.get(address) ?? freshRate, FAILED_LOGINS_OF_ONE_LIMIT)
      )
        throw new KeywardError('too_many_attempts')
    },
    fail(address) {
      ofAll = takeRate(ofAll, FAILED_LOGINS_OF_ALL_LIMIT, now()).state
      const state = takeRate(ofOne.get(address) ?? freshRate, FAILED_LOGINS_OF_ONE_LIMIT, now()).state
      ofOne.delete(address)
      const [oldest] = ofOne.keys()
      if (ofOne.size >= COUNTED_ADDRESSES_MAXIMUM && oldest !== undefined) ofOne.delete(oldest)
      ofOne.set(address, state)
    },
  }
}
