import { z } from 'zod'
import { KeywardError } from '../../core/errors.ts'
import { ALGORITHM, sha256, signatureOf } from '../../injectors/signature-v4.ts'
import { ask } from './ask.ts'
import type { ServiceAnswer } from './ask.ts'
import { readAwsCredentials } from './aws-credentials.ts'
import type { AwsCredentialsPlace } from './aws-credentials.ts'
import type { SlotPlace } from './root-key.ts'
import { CIPHERTEXT_MAXIMUM_CHARACTERS } from './wrapping.ts'
import type { WrappingService } from './wrapping.ts'

export interface AwsKmsOptions {
  /** `arn:PARTITION:kms:REGION:ACCOUNT:key/ID` or `…:alias/NAME`. */
  readonly key: string
  readonly region: string
  readonly endpoint: URL
  readonly caFile: string | null
  readonly credentials: AwsCredentialsPlace
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number
}

const base64 = /^[A-Za-z0-9+/]+={0,2}$/
const encrypted = z.object({ CiphertextBlob: z.string().regex(base64).max(CIPHERTEXT_MAXIMUM_CHARACTERS) })
const decrypted = z.object({ Plaintext: z.string().regex(base64).max(1024) })
const failed = z.object({ __type: z.string().regex(/^(?:[\w.]+#)?[A-Za-z]{1,64}$/) })
/** Not made by this key, or not for this place. */
const FOREIGN = new Set(['InvalidCiphertextException', 'IncorrectKeyException'])
/** Theirs to mend, or a matter of time. */
const PASSING = new Set([
  'KMSInternalException',
  'DependencyTimeoutException',
  'KeyUnavailableException',
  'ThrottlingException',
  'LimitExceededException',
])
const KEY_REFERENCE = /^arn:(aws[a-z-]*):kms:([a-z]{2}(?:-[a-z]+)+-\d):\d{12}:(?:key|alias)\/[\w/-]{1,256}$/

/** Region and endpoint of a key; null where it is not named by its ARN, or where its partition's endpoints are not known. */
export function readKmsKey(arn: string): { readonly region: string; readonly endpoint: URL | null } | null {
  const [, partition, region] = KEY_REFERENCE.exec(arn) ?? []
  if (partition === undefined || region === undefined) return null
  // <https://docs.aws.amazon.com/general/latest/gr/kms.html>
  const suffix = { aws: 'amazonaws.com', 'aws-us-gov': 'amazonaws.com', 'aws-cn': 'amazonaws.com.cn' }[partition]
  return { region, endpoint: suffix === undefined ? null : new URL(`https://kms.${region}.${suffix}`) }
}

/**
 * AWS KMS (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html>, `API_Decrypt.html`). Store and
 * slot are the encryption context, which AWS binds to the ciphertext and writes into CloudTrail.
 */
export function awsKmsService(options: AwsKmsOptions): WrappingService {
  const { key, region, endpoint, caFile } = options

  async function call(action: 'Encrypt' | 'Decrypt', input: object): Promise<ServiceAnswer> {
    const credentials = await readAwsCredentials(options.credentials)
    const body = JSON.stringify(input)
    const time = new Date(options.now()).toISOString().replaceAll(/[-:]|\.\d{3}/g, '')
    const headers: Record<string, string> = {
      'content-type': 'application/x-amz-json-1.1',
      host: endpoint.host,
      'x-amz-date': time,
      ...(credentials.sessionToken === null ? {} : { 'x-amz-security-token': credentials.sessionToken.revealText() }),
      'x-amz-target': `TrentService.${action}`,
    }
    const signed = Object.keys(headers).toSorted()
    const scope = { date: time.slice(0, 8), region, service: 'kms' }
    const signable = { method: 'POST', target: '/', headers: Object.entries(headers), payload: sha256(body) }
    const signature = signatureOf(signable, signed, scope, time, credentials.secretAccessKey.revealText())
    const credential = `${credentials.accessKeyId}/${scope.date}/${region}/kms/aws4_request`
    const authorization = `${ALGORITHM} Credential=${credential}, SignedHeaders=${signed.join(';')}, Signature=${signature.toString('hex')}`
    return ask({ method: 'POST', url: new URL('/', endpoint), headers: { ...headers, authorization }, body, caFile })
  }

  function refused(action: string, { status, body }: ServiceAnswer): KeywardError {
    const type = typeOf(body)
    const code = status >= 500 || PASSING.has(type) ? 'root_key_unreachable' : 'root_key_refused'
    return new KeywardError(code, `${endpoint.host} answered ${action} with status ${status}${type && ` (${type})`}.`)
  }

  return {
    kind: 'aws-kms',
    where: key,
    async wrap(bytes, place) {
      const Plaintext = Buffer.from(bytes).toString('base64')
      const answer = await call('Encrypt', { KeyId: key, Plaintext, EncryptionContext: contextOf(place) })
      const parsed = encrypted.safeParse(answer.body)
      if (answer.status !== 200 || !parsed.success) throw refused('Encrypt', answer)
      return parsed.data.CiphertextBlob
    },
    async unwrap(ciphertext, place) {
      const input = { KeyId: key, CiphertextBlob: ciphertext, EncryptionContext: contextOf(place) }
      const answer = await call('Decrypt', input)
      if (answer.status === 400 && FOREIGN.has(typeOf(answer.body))) return null
      const parsed = decrypted.safeParse(answer.body)
      if (answer.status !== 200 || !parsed.success) throw refused('Decrypt', answer)
      return Buffer.from(parsed.data.Plaintext, 'base64')
    },
  }
}

function contextOf({ storeId, slotId }: SlotPlace): Record<string, string> {
  return { 'keyward:slot': slotId, 'keyward:store': storeId }
}

function typeOf(body: unknown): string {
  const parsed = failed.safeParse(body)
  return parsed.success ? (parsed.data.__type.split('#').at(-1) ?? '') : ''
}
