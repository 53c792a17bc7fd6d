import { KeywardError } from '../core/errors.ts'
import type { HeaderPair, RequestHead } from '../core/request.ts'

/** Some servers (CGI, WSGI) read `x_api_key` and `x-api-key` as one header, so both count as the same place. */
export function sameHeader(left: string, right: string): boolean {
  // As long as each other, or they are not alike whatever the spelling.
  return left === right || (left.length === right.length && spelling(left) === spelling(right))
}

function spelling(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

/** The one value of a header, or null. Two of them, in any spelling, throw `placeholder_ambiguous`. */
export function soleHeader(head: RequestHead, name: string): string | null {
  let only: string | null = null
  for (const [key, value] of head.headers) {
    if (!sameHeader(key, name)) continue
    if (only !== null) throw new KeywardError('placeholder_ambiguous', `The header ${name} is there twice.`)
    only = value
  }
  return only
}

/** Removes every spelling of the header and writes it once, at the end. `name` is lower-case. */
export function withHeader(head: RequestHead, name: string, value: string): RequestHead {
  const pair: HeaderPair = [name, value]
  const headers = head.headers.filter(([key]) => !sameHeader(key, name))
  headers.push(pair)
  return { ...head, headers }
}

/** What follows an authentication scheme (RFC 9110 section 11.4), whose name has no letter case; or null. */
export function afterScheme(value: string | null, scheme: string): string | null {
  if (value === null) return null
  const space = value.indexOf(' ')
  if (space < 0 || value.slice(0, space).toLowerCase() !== scheme) return null
  const rest = value.slice(space).trim()
  return rest === '' ? null : rest
}
