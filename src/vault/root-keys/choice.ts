import { KeywardError } from '../../core/errors.ts'
import { isSafeUrl } from './ask.ts'
import { isContainerUrl } from './aws-credentials.ts'
import type { AwsCredentialsPlace } from './aws-credentials.ts'
import { readKmsKey } from './aws-kms.ts'
import type { AwsKmsOptions } from './aws-kms.ts'
import type { TransitLogin, TransitOptions } from './transit.ts'

/** Where the root key comes from, as the settings say. `shown` is how it is written; it holds no secret. */
export type RootKeyChoice = { readonly shown: string } & (
  | {
      readonly kind: 'file'
      readonly path: string
      /** Nobody chose: where the file is not there, and somebody can be asked, it may be a passphrase. */
      readonly orPassphrase: boolean
    }
  | { readonly kind: 'passphrase'; readonly file: string | null }
  | { readonly kind: 'keyring' }
  | ({ readonly kind: 'transit' } & TransitOptions)
  | ({ readonly kind: 'aws-kms' } & Omit<AwsKmsOptions, 'now'>)
)

/** What stands beside KEYWARD_ROOT_KEY. Paths are absolute. */
export interface RootKeyNeeds {
  readonly rootKeyFile: string
  readonly passphraseFile: string | null
  /** KEYWARD_ROOT_KEY_CREDENTIALS: a path, `kubernetes:ROLE[@MOUNT]` or `container`. */
  readonly credentials: string | null
  readonly namespace: string | null
  readonly caFile: string | null
  /** Instead of the endpoint of the key's region. */
  readonly endpoint: string | null
  /** Where a container's agent gives credentials: AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI. */
  readonly containerUrl: string | null
  readonly containerTokenFile: string | null
}

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token'
const SEGMENT = /^[A-Za-z0-9][\w.-]{0,127}$/

/**
 * Reads `file`, `passphrase`, `keyring`, `transit:https://HOST:PORT/MOUNT/KEY` or `aws-kms:ARN`. Null: nobody wrote
 * any. Throws `config_invalid`.
 */
export function readRootKeyChoice(text: string | null, needs: RootKeyNeeds): RootKeyChoice {
  const { rootKeyFile: path, passphraseFile } = needs
  if (text === null && passphraseFile === null) return { kind: 'file', shown: 'file', path, orPassphrase: true }
  if (text === null || text === 'passphrase') return { kind: 'passphrase', shown: 'passphrase', file: passphraseFile }
  if (text === 'file') return { kind: 'file', shown: 'file', path, orPassphrase: false }
  if (text === 'keyring') return { kind: 'keyring', shown: 'keyring' }
  if (text.startsWith('transit:')) return transit(text, needs)
  if (text.startsWith('aws-kms:')) return awsKms(text, needs)
  throw invalid('KEYWARD_ROOT_KEY is file, passphrase, keyring, transit:URL/MOUNT/KEY or aws-kms:ARN.')
}

/** Files that open the vault, or help to: what an agent must not see. */
export function secretFilesOf(choice: RootKeyChoice): string[] {
  if (choice.kind === 'file') return [choice.path]
  if (choice.kind === 'passphrase') return choice.file === null ? [] : [choice.file]
  if (choice.kind === 'transit') return [choice.login.kind === 'kubernetes' ? choice.login.jwtFile : choice.login.path]
  if (choice.kind === 'keyring') return []
  const { credentials } = choice
  if (credentials.kind === 'file') return [credentials.path]
  return credentials.tokenFile === null ? [] : [credentials.tokenFile]
}

function transit(shown: string, { credentials, namespace, caFile }: RootKeyNeeds): RootKeyChoice {
  const text = shown.slice('transit:'.length)
  // What the parser would resolve is not what was written.
  const url = /\.\.|[%\\]/.test(text) ? null : URL.parse(text)
  const segments = url?.pathname.slice(1).split('/') ?? []
  const key = segments.pop() ?? ''
  if (
    url === null ||
    url.search !== '' ||
    segments.length === 0 ||
    ![...segments, key].every((one) => SEGMENT.test(one))
  )
    throw invalid('KEYWARD_ROOT_KEY: transit is written transit:https://HOST:PORT/MOUNT/KEY.')
  if (!isSafeUrl(url)) throw invalid('KEYWARD_ROOT_KEY: transit is asked over https only, except on loopback.')
  if (namespace !== null && !/^[\w.-]+(?:\/[\w.-]+)*\/?$/.test(namespace))
    throw invalid('KEYWARD_ROOT_KEY_NAMESPACE is no namespace.')
  const address = new URL(url.origin)
  return {
    kind: 'transit',
    shown,
    address,
    mount: segments.join('/'),
    key,
    namespace,
    caFile,
    login: login(credentials),
  }
}

function login(credentials: string | null): TransitLogin {
  if (credentials === null)
    throw invalid('KEYWARD_ROOT_KEY_CREDENTIALS names the file with the token, or kubernetes:ROLE.')
  if (!credentials.startsWith('kubernetes:')) return { kind: 'token-file', path: credentials }
  const [role = '', mount = 'kubernetes'] = credentials.slice('kubernetes:'.length).split('@')
  if (!SEGMENT.test(role) || !mount.split('/').every((one) => SEGMENT.test(one)))
    throw invalid('KEYWARD_ROOT_KEY_CREDENTIALS is written kubernetes:ROLE or kubernetes:ROLE@MOUNT.')
  return { kind: 'kubernetes', role, mount, jwtFile: SERVICE_ACCOUNT_TOKEN }
}

function awsKms(shown: string, needs: RootKeyNeeds): RootKeyChoice {
  const key = shown.slice('aws-kms:'.length)
  const known = readKmsKey(key)
  if (known === null) throw invalid('KEYWARD_ROOT_KEY: aws-kms is written aws-kms:ARN, the ARN of a key or an alias.')
  const endpoint = needs.endpoint === null ? known.endpoint : URL.parse(needs.endpoint)
  if (endpoint === null || !isSafeUrl(endpoint))
    throw invalid('KEYWARD_ROOT_KEY_ENDPOINT is an https URL; plain http on loopback only.')
  const credentials = awsCredentials(needs)
  return { kind: 'aws-kms', shown, key, region: known.region, endpoint, caFile: needs.caFile, credentials }
}

function awsCredentials({ credentials, containerUrl, containerTokenFile }: RootKeyNeeds): AwsCredentialsPlace {
  if (credentials === null)
    throw invalid('KEYWARD_ROOT_KEY_CREDENTIALS names a credentials file (FILE or FILE#PROFILE), or is container.')
  if (credentials !== 'container') {
    const [path = '', profile = 'default'] = credentials.split('#')
    return { kind: 'file', path, profile }
  }
  const url = URL.parse(containerUrl ?? '')
  if (url === null || !isContainerUrl(url))
    throw invalid('AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI does not name the agent of this container.')
  return { kind: 'container', url, tokenFile: containerTokenFile }
}

function invalid(detail: string): KeywardError {
  return new KeywardError('config_invalid', detail)
}
