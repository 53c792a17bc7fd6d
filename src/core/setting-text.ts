import { KeywardError } from './errors.ts'

/** What somebody wrote for a setting, and what he calls it. */
interface Written {
  readonly name: string
  readonly text: string
}

export function wordOf({ text, name }: Written): string {
  if (/^[\x21-\x7e]{1,512}$/.test(text)) return text
  throw new KeywardError('config_invalid', `${name} must be one word of at most 512 characters.`)
}

export function hostNameOf({ text, name }: Written): string {
  if (/^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9](?:[a-z0-9-]{0,62}))*$/.test(text)) return text
  throw new KeywardError('config_invalid', `${name} must be the name of a host, in lower case.`)
}

export function nodeNameOf({ text, name }: Written): string {
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(text)) return text
  throw new KeywardError('config_invalid', `${name} must be of a-z, 0-9 and -.`)
}

export function booleanOf({ text, name }: Written): boolean {
  if (text === 'true' || text === '1') return true
  if (text === 'false' || text === '0') return false
  throw new KeywardError('config_invalid', `${name} must be true or false.`)
}
