import { NARROWED_TOKEN_MAXIMUM_CHARACTERS, narrowedPrefix } from '../core/narrowed-token.ts'
import { headerValues, type HeaderPair } from '../core/request.ts'
import type { Caller, Sessions } from '../identity/sessions.ts'
import type { Refusal } from './refusal.ts'

/** A proxy credential longer than this is not one of ours: the longest token in base64, and what stands around it. */
const PROXY_AUTHORIZATION_MAXIMUM_CHARACTERS = 1_024 + Math.ceil((NARROWED_TOKEN_MAXIMUM_CHARACTERS * 4) / 3)

/**
 * Who is behind a forward-proxy request: the session token in Proxy-Authorization, as Basic (either
 * half; proxy URLs are written in both ways) or Bearer. A rejected value is never repeated in the refusal.
 */
export function identifyProxy(headers: readonly HeaderPair[], sessions: Pick<Sessions, 'byToken'>): Caller | Refusal {
  const token = proxyToken(headers)
  if (token === null) return { refusal: 'token_missing' }
  return token === '' ? { refusal: 'token_invalid' } : sessions.byToken(token)
}

/** The token in Proxy-Authorization; null: there is none, empty: not one that could be. */
export function proxyToken(headers: readonly HeaderPair[]): string | null {
  const values = headerValues(headers, 'proxy-authorization')
  const value = values[0]
  if (value === undefined) return null
  if (values.length > 1 || value.length > PROXY_AUTHORIZATION_MAXIMUM_CHARACTERS) return ''
  const space = value.indexOf(' ')
  const scheme = value.slice(0, space).toLowerCase()
  const rest = value.slice(space + 1).trim()
  if (scheme === 'bearer') return rest
  if (scheme !== 'basic') return ''
  const pair = Buffer.from(rest, 'base64').toString('latin1')
  const colon = pair.indexOf(':')
  const user = colon < 0 ? pair : pair.slice(0, colon)
  const password = colon < 0 ? '' : pair.slice(colon + 1)
  return isToken(password) ? password : user
}

function isToken(text: string): boolean {
  return text.startsWith('kws_') || text.startsWith(narrowedPrefix)
}
