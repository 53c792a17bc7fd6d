import { KeywardError } from '../core/errors.ts'
import { parseWitnessKey } from './cosignature.ts'

/** What is written down about a place elsewhere: its text, and as what it was written. */
interface Written {
  readonly name: string
  readonly text: string
}

/** What proves something leaves over TLS that verifies, or stays on this machine. Throws `config_invalid`. */
export function readTargetUrl({ text, name }: Written): string {
  const url = URL.parse(text)
  const isHere = url?.protocol === 'http:' && /^(?:127(?:\.\d{1,3}){3}|\[::1\])$/.test(url.hostname)
  if (url === null || (url.protocol !== 'https:' && !isHere))
    throw new KeywardError('config_invalid', `${name} must be an https URL, or http on a loopback address.`)
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new KeywardError('config_invalid', `${name} must hold no password, query or fragment.`)
  return text
}

export function readWitnessKey({ text, name }: Written): string {
  if (parseWitnessKey(text) !== undefined) return text
  throw new KeywardError('config_invalid', `${name} must be the verifier key of a witness: NAME+HEX+BASE64, of type 4.`)
}

/** Refuses half of a witness, and a copy that would be lost with what it is a copy of. */
export function checkTargets(
  home: string,
  settings: Readonly<Record<'witnessUrl' | 'witnessKey' | 'journalShip', { readonly value: string | null }>>,
): void {
  if ((settings.witnessUrl.value === null) !== (settings.witnessKey.value === null))
    throw new KeywardError('config_invalid', 'KEYWARD_WITNESS_URL and KEYWARD_WITNESS_KEY are given together.')
  if (`${settings.journalShip.value ?? ''}/`.startsWith(`${home}/`))
    throw new KeywardError('config_invalid', 'KEYWARD_JOURNAL_SHIP must lie outside the home, which may be lost.')
}
