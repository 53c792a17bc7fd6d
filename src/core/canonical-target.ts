/** The longest target that is read, in bytes. */
export const LONGEST_TARGET = 16_384
/** The longest authority that is read: a DNS name (RFC 1035 section 2.3.4) and a port. */
const LONGEST_NAME = 253

export type Target =
  | { readonly target: string }
  | { readonly refusal: 'path_not_canonical' | 'request_malformed'; readonly detail: string }

/** Segments of unreserved characters that do not begin with a dot, and a query of characters that mean themselves: nearly every target, and nothing that could be read in two ways. */
const PLAIN = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+\/?(?:\?[A-Za-z0-9._~=&,:-]*)?$/

/**
 * The one canonical reading of a request target in origin form (RFC 9112 section 3.2.1), or a refusal: what
 * two parsers could read in two ways is not repaired. What is accepted is returned unchanged.
 * `encodedSlash` allows `%2F` in the path; it stays part of its segment.
 */
export function parseTarget(raw: string, options: { readonly encodedSlash: boolean }): Target {
  if (raw.length > LONGEST_TARGET) return malformed(`The target is longer than ${LONGEST_TARGET} bytes.`)
  if (PLAIN.test(raw)) return { target: raw }
  if (!raw.startsWith('/')) return malformed('The target does not begin with a slash.')
  for (let i = 0; i < raw.length; i++) {
    const code = raw.charCodeAt(i)
    if (code < 0x21 || code > 0x7e)
      return malformed('The target holds a space, a control character or a byte above 0x7e.')
    // A fragment is never sent, and the WHATWG parser rewrites these, so other parsers may as well.
    if (code === 0x23) return malformed('The target holds a fragment.')
  }
  const mark = raw.indexOf('?')
  const path = mark < 0 ? raw : raw.slice(0, mark)
  const query = mark < 0 ? '' : raw.slice(mark + 1)
  const detail = pathFault(path, options.encodedSlash)
  if (detail !== undefined) return { refusal: 'path_not_canonical', detail }
  const queryDetail = queryFault(query)
  return queryDetail === undefined ? { target: raw } : malformed(queryDetail)
}

function malformed(detail: string): Target {
  return { refusal: 'request_malformed', detail }
}

function pathFault(path: string, encodedSlash: boolean): string | undefined {
  const segments = path.slice(1).split('/')
  for (const [i, segment] of segments.entries()) {
    if (segment === '' && i < segments.length - 1) return 'The path holds an empty segment.'
    // An escaped slash is allowed to mean a slash to the service, so its parts are held to the same rules.
    for (const part of segment.split(/%2f/i)) {
      if (part === '.' || part === '..') return 'The path holds a dot segment.'
      if (part === '' && segment !== '' && encodedSlash) return 'The path holds an empty segment.'
    }
  }
  for (let i = 0; i < path.length; i++) {
    const character = path.charAt(i)
    if (character === '%') {
      const detail = escapeFault(path, i, encodedSlash)
      if (detail !== undefined) return detail
      i += 2
    } else if (character === ';') return 'The path holds a semicolon.'
    else if (character === '\\') return 'The path holds a backslash.'
    else if ('"<>^`{}'.includes(character))
      return `The path holds ${character}, which stands in a path only as a percent escape.`
  }
  // An overlong form of a dot or a slash is one to a decoder that is not strict.
  return isUtf8(path) ? undefined : 'The path holds escapes that are not UTF-8.'
}

function isUtf8(path: string): boolean {
  if (!path.includes('%')) return true
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

function escapeFault(path: string, at: number, encodedSlash: boolean): string | undefined {
  const value = escapeAt(path, at)
  if (value === undefined) return 'The path holds a percent sign that begins no escape.'
  if (value < 0x20 || value === 0x7f) return 'The path holds an escaped control character.'
  if (value === 0x2f) return encodedSlash ? undefined : 'The path holds an escaped slash.'
  if (value === 0x5c) return 'The path holds an escaped backslash.'
  if (value === 0x3b) return 'The path holds an escaped semicolon.'
  if (isUnreserved(value)) return 'The path holds an escape of a character that needs none.'
  if (value === 0x25 && /^[0-9a-f]{2}/i.test(path.slice(at + 3, at + 5))) return 'The path is escaped twice.'
  return undefined
}

function queryFault(query: string): string | undefined {
  for (let i = 0; i < query.length; i++) {
    const character = query.charAt(i)
    if ('"<>'.includes(character))
      return `The query holds ${character}, which stands in a query only as a percent escape.`
    if (character !== '%') continue
    const value = escapeAt(query, i)
    if (value === undefined) return 'The query holds a percent sign that begins no escape.'
    if (value === 0) return 'The query holds an escaped NUL.'
    i += 2
  }
  return undefined
}

function escapeAt(text: string, at: number): number | undefined {
  const digits = text.slice(at + 1, at + 3)
  return /^[0-9a-f]{2}$/i.test(digits) ? Number.parseInt(digits, 16) : undefined
}

/** RFC 3986 section 2.3. */
function isUnreserved(code: number): boolean {
  return /^[A-Za-z0-9._~-]$/.test(String.fromCharCode(code))
}

export interface Authority {
  /** Lower-case name without trailing dot, dotted IPv4, or canonical IPv6 (RFC 5952) without brackets. */
  readonly host: string
  readonly port: number | null
  readonly kind: 'name' | 'ipv4' | 'ipv6'
}

export interface AuthorityRefusal {
  readonly refusal: 'request_malformed'
  readonly detail: string
}

const refused: AuthorityRefusal = {
  refusal: 'request_malformed',
  detail: 'The host or the port is not in its one canonical form.',
}

/**
 * Reads the authority of CONNECT, of the absolute form, or of Host. Refused: user information, an
 * empty host, anything but the characters of host names, a port outside 1 to 65535 or with leading zeros,
 * and every spelling of an IPv4 address but the dotted decimal one, since resolvers read hexadecimal, octal
 * and short forms as addresses. International names must arrive as punycode.
 */
export function parseAuthority(raw: string): Authority | AuthorityRefusal {
  if (raw.length === 0 || raw.length > LONGEST_NAME + 7) return refused
  const bracketed = /^\[([0-9a-fA-F:.]{2,45})\](?::([1-9][0-9]{0,4}))?$/.exec(raw)
  if (bracketed !== null) {
    const host = canonicalIpv6(bracketed[1] ?? '')
    const port = portOf(bracketed[2])
    return host === undefined || port === undefined ? refused : { host, port, kind: 'ipv6' }
  }
  const match = /^([0-9a-zA-Z._-]+)(?::([1-9][0-9]{0,4}))?$/.exec(raw)
  if (match === null) return refused
  const port = portOf(match[2])
  const host = (match[1] ?? '').toLowerCase().replace(/\.$/, '')
  if (port === undefined || host.length === 0 || host.length > LONGEST_NAME) return refused
  const labels = host.split('.')
  if (!labels.every(isLabel)) return refused
  const last = labels.at(-1) ?? ''
  // The WHATWG rule: a name whose last label is a number is an address, whatever stands before it.
  if (/^[0-9]+$/.test(last) || /^0x[0-9a-f]*$/.test(last)) {
    return labels.length === 4 && labels.every(isOctet) ? { host, port, kind: 'ipv4' } : refused
  }
  return { host, port, kind: 'name' }
}

/** `undefined`: outside the range; `null`: none given. */
function portOf(text: string | undefined): number | null | undefined {
  if (text === undefined) return null
  const port = Number(text)
  return port <= 65_535 ? port : undefined
}

/** RFC 1123 section 2.1, and the underscore that service names carry. */
function isLabel(label: string): boolean {
  return label.length <= 63 && /^[0-9a-z_](?:[0-9a-z_-]*[0-9a-z_])?$/.test(label)
}

function isOctet(label: string): boolean {
  return /^(?:0|[1-9][0-9]{0,2})$/.test(label) && Number(label) <= 255
}

/** RFC 4291 section 2.2 read, RFC 5952 written; an embedded IPv4 address becomes two groups. */
function canonicalIpv6(text: string): string | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = groupsOf(halves[0] ?? '', halves.length === 1)
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? '', true) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  return writeIpv6([...head, ...Array<number>(missing).fill(0), ...tail])
}

function groupsOf(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (part.includes('.')) {
      const octets = part.split('.')
      if (!mayEndInIpv4 || i !== parts.length - 1 || octets.length !== 4 || !octets.every(isOctet)) return undefined
      const [a = 0, b = 0, c = 0, d = 0] = octets.map(Number)
      groups.push(a * 256 + b, c * 256 + d)
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16))
    else return undefined
  }
  return groups
}

function writeIpv6(groups: readonly number[]): string {
  let bestStart = -1
  let bestLength = 1
  for (let start = 0; start < groups.length; start++) {
    let length = 0
    while (groups[start + length] === 0) length++
    if (length > bestLength) [bestStart, bestLength] = [start, length]
  }
  const hex = groups.map((group) => group.toString(16))
  if (bestStart < 0) return hex.join(':')
  return `${hex.slice(0, bestStart).join(':')}::${hex.slice(bestStart + bestLength).join(':')}`
}
