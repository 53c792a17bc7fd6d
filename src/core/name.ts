import { KeywardError } from './errors.ts'

/** Longest name of an agent, a credential or an environment. */
export const maximumNameLength = 63
/** Longest owner: the longest mail address (RFC 5321). */
export const maximumOwnerLength = 254

/**
 * Names are 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning and ending with a letter or
 * digit, without two dots in a row: they are safe as a file name, an argument and a part of a URL.
 * `noun` is for the message. Throws KeywardError `usage`. Gives the name back.
 */
export function checkName(noun: string, name: string): string {
  if (name.length <= maximumNameLength && /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/.test(name) && !name.includes('..'))
    return name
  throw new KeywardError(
    'usage',
    `The name of ${noun} is 1 to ${maximumNameLength} of a-z, 0-9, ".", "_" and "-", beginning and ending with a letter or digit, without "..".`,
  )
}

/** Who answers for something: printable text without spaces at its ends, or nobody. Throws KeywardError `usage`. */
export function checkOwner(owner: string | null): string | null {
  if (owner === null) return null
  const printable = owner !== '' && owner === owner.trim() && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(owner)
  if (printable && owner.length <= maximumOwnerLength) return owner
  throw new KeywardError(
    'usage',
    `An owner is 1 to ${maximumOwnerLength} printable characters, usually a mail address.`,
  )
}
