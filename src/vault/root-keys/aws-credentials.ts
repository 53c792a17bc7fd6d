import { z } from 'zod'
import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import { ask, isSafeUrl, readTokenFile } from './ask.ts'

/** Where AWS credentials are read, anew each time: nowhere in the variables of the process, where they would stay. */
export type AwsCredentialsPlace =
  | { readonly kind: 'file'; readonly path: string; readonly profile: string }
  | { readonly kind: 'container'; readonly url: URL; readonly tokenFile: string | null }

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly sessionToken: Secret | null
}

/** Where the agents of Amazon ECS and EKS answer, in clear, on the machine itself (AWS SDKs reference, "Container credential provider"). */
const CONTAINER_HOSTS = new Set(['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]'])

const word = z.string().regex(/^[\x21-\x7e]{1,8192}$/)
const given = z.object({ AccessKeyId: word, SecretAccessKey: word, Token: word.optional() })

/** Whether credentials may be asked for at this address. */
export function isContainerUrl(url: URL): boolean {
  return isSafeUrl(url) || (url.protocol === 'http:' && CONTAINER_HOSTS.has(url.hostname))
}

export function readAwsCredentials(place: AwsCredentialsPlace): Promise<AwsCredentials> {
  return place.kind === 'file' ? readProfile(place.path, place.profile) : askContainer(place.url, place.tokenFile)
}

/** A profile of a shared credentials file (<https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>). */
async function readProfile(path: string, profile: string): Promise<AwsCredentials> {
  const text = (await readTokenFile(path)).revealText()
  const values = new Map<string, string>()
  let section = ''
  for (const line of text.split(/\r?\n/)) {
    const named = /^\s*\[\s*([^\]]+?)\s*\]\s*$/.exec(line)
    const [, name, value] = /^\s*([a-z_]+)\s*=\s*([\x21-\x7e]+)\s*$/.exec(line) ?? []
    if (named !== null) section = named[1] ?? ''
    else if (section === profile && name !== undefined && value !== undefined) values.set(name, value)
  }
  const accessKeyId = values.get('aws_access_key_id')
  const secretAccessKey = values.get('aws_secret_access_key')
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new KeywardError('root_key_missing', `${path} has no access key for its profile ${profile}.`)
  return credentialsOf(accessKeyId, secretAccessKey, values.get('aws_session_token'))
}

async function askContainer(url: URL, tokenFile: string | null): Promise<AwsCredentials> {
  const headers = tokenFile === null ? {} : { authorization: (await readTokenFile(tokenFile)).revealText().trim() }
  const { status, body } = await ask({ method: 'GET', url, headers, caFile: null })
  const parsed = given.safeParse(body)
  if (status !== 200 || !parsed.success)
    throw new KeywardError('root_key_refused', `${url.host} gave no credentials (status ${status}).`)
  const { AccessKeyId, SecretAccessKey, Token } = parsed.data
  return credentialsOf(AccessKeyId, SecretAccessKey, Token)
}

function credentialsOf(accessKeyId: string, secretAccessKey: string, sessionToken: string | undefined): AwsCredentials {
  return {
    accessKeyId,
    secretAccessKey: Secret.fromText('secret access key', secretAccessKey),
    sessionToken: sessionToken === undefined ? null : Secret.fromText('session token', sessionToken),
  }
}
