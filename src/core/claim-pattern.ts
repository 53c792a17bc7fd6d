/** Longest pattern and longest value that are compared, in characters. */
export const CLAIM_PATTERN_MAXIMUM_CHARACTERS = 512
export const CLAIM_VALUE_MAXIMUM_CHARACTERS = 1_024
/** Claims that one trust may ask for. */
export const TRUST_CLAIMS_MAXIMUM = 16

/**
 * Whether a value is what the pattern says. Exactly, but for `*`, which is any run of characters without `stop`:
 * `repo:org/*` is no repository of `org` and its environment as well. Needs time in proportion to both lengths.
 */
export function fitsPattern(pattern: string, value: string, stop: string): boolean {
  if (pattern.length > CLAIM_PATTERN_MAXIMUM_CHARACTERS || value.length > CLAIM_VALUE_MAXIMUM_CHARACTERS) return false
  if (!pattern.includes('*')) return pattern === value
  // Which beginnings of the value the pattern so far can have read: 1.
  let reached = new Uint8Array(value.length + 1)
  reached[0] = 1
  for (let sign = 0; sign < pattern.length; sign += 1) {
    const next = new Uint8Array(value.length + 1)
    if (pattern[sign] === '*') {
      for (let at = 0; at <= value.length; at += 1)
        next[at] = reached[at] === 1 || (at > 0 && next[at - 1] === 1 && value[at - 1] !== stop) ? 1 : 0
    } else {
      for (let at = 1; at <= value.length; at += 1)
        next[at] = reached[at - 1] === 1 && value[at - 1] === pattern[sign] ? 1 : 0
    }
    reached = next
  }
  return reached[value.length] === 1
}

/**
 * The text of the claim at a path, or null where there is none that could be compared. Steps of the path are
 * divided by `/` (`kubernetes.io/serviceaccount/name`); `~1` and `~0` are `/` and `~` in a name, as in RFC 6901.
 */
export function claimAt(claims: Readonly<Record<string, unknown>>, path: string): string | null {
  let value: unknown = claims
  for (const step of path.split('/')) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) return null
    value = Reflect.get(value, name)
  }
  if (typeof value === 'string') return value
  return typeof value === 'boolean' || (typeof value === 'number' && Number.isSafeInteger(value)) ? String(value) : null
}
