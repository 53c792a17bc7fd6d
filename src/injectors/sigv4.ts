import { timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import { headerValues, type HeaderPair } from '../core/request.ts'
import { fieldName, fieldValue, headerFieldValue } from './field-value.ts'
import { sameHeader, soleHeader, withHeader } from './header-place.ts'
import { defineBodyInjector } from './injector.ts'
import type { FieldValues, SentRequest, WholeRequest } from './injector.ts'
import { ALGORITHM, sha256, signatureOf, type Scope } from './signature-v4.ts'
import { decodeSegment } from './template.ts'

/** How far the date of a signature may be from the gateway's clock, either way. */
export const SIGNATURE_AGE_MAXIMUM_MILLISECONDS = 5 * 60_000

const options = z.strictObject({
  accessKeyId: fieldName.default('accessKeyId'),
  secretAccessKey: fieldName.default('secretAccessKey'),
  sessionToken: fieldName.optional(),
  unsignedPayload: z.boolean().default(false),
})

type Options = z.infer<typeof options>

const DATE = 'x-amz-date'
const PAYLOAD = 'x-amz-content-sha256'
const TOKEN = 'x-amz-security-token'
/** What a body may be signed as where it is not signed itself. The second is a body whose checksum follows it. */
const UNSIGNED = new Set(['UNSIGNED-PAYLOAD', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'])
/** Set anew on the way, so not signed anew. */
const WRITTEN_BY_OTHERS = new Set(['content-length', 'transfer-encoding'])

/**
 * AWS Signature Version 4 in the Authorization header. The caller signs with two placeholders: the access key id
 * stands in the request and says who is meant, the secret access key proves it. What it signed is verified,
 * and then signed anew, for the same day, region and service, with the real key. Options: the names of the
 * fields; `sessionToken` where the key is a temporary one; `unsignedPayload`: bodies may be left unsigned.
 */
export const sigv4 = defineBodyInjector<Options>({
  kind: 'sigv4',
  options,
  place: () => ({ in: 'header', name: 'authorization', beside: [TOKEN] }),
  fields: ({ accessKeyId, secretAccessKey, sessionToken }) => [
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? [] : [sessionToken]),
  ],
  readsBody: (head) =>
    headerValues(head.headers, 'authorization').some((value) => value.startsWith(ALGORITHM)) &&
    !headerValues(head.headers, PAYLOAD).some((value) => UNSIGNED.has(value)),
  find({ head }, { accessKeyId }) {
    const isPresigned = signsInQuery(head.target)
    const value = soleHeader(head, 'authorization')
    if (isPresigned && value !== null)
      throw new KeywardError('placeholder_ambiguous', 'It is signed in the query and in the header.')
    if (isPresigned) throw unsupported('The query is signed (a presigned URL).')
    if (value === null || !/^AWS/i.test(value)) return null
    return { field: accessKeyId, text: parsed(value).accessKeyId }
  },
  inject(request, rule, fields) {
    const { scope, signedHeaders } = parsed(soleHeader(request.head, 'authorization') ?? '')
    return signed(request, rule, fields, scope, signedHeaders)
  },
  derived: () => [],
  describe: () => 'header authorization, Signature Version 4',
  blank: () => null,
  proof: {
    fields: ({ secretAccessKey }) => [secretAccessKey],
    verify(sent, rule, placeholders, now) {
      const { scope, signedHeaders, signature } = parsed(sole(sent.headers, 'authorization'))
      const time = sole(sent.headers, DATE)
      const at = timeOf(time)
      if (at === null || !time.startsWith(scope.date)) throw invalid('The date is not that of the signature.')
      if (Math.abs(now - at) > SIGNATURE_AGE_MAXIMUM_MILLISECONDS) throw new KeywardError('signature_expired')
      refuseUnsigned(sent, signedHeaders)
      const payload = payloadOf(sent.headers, sent.body)
      if (UNSIGNED.has(payload) && !rule.unsignedPayload) throw unsupported('The body is not signed.')
      if (!UNSIGNED.has(payload) && payload !== sha256(sent.body ?? new Uint8Array(0)))
        throw invalid('The body is not the one that was signed.')
      const secret = fieldValue(placeholders, rule.secretAccessKey)
      const expected = signatureOf({ ...sent, payload }, signedHeaders, scope, time, secret)
      if (!timingSafeEqual(expected, signature)) throw invalid('It was made with another key or over another request.')
    },
    example({ head, body }, rule, fields, now) {
      const time = new Date(now).toISOString().replaceAll(/[-:]|\.\d{3}/g, '')
      const payload = sha256(body ?? new Uint8Array(0))
      const headers: HeaderPair[] = [...head.headers, [DATE, time], [PAYLOAD, payload]]
      const scope = { date: time.slice(0, 8), region: 'region', service: 'service' }
      const names = headers.map(([name]) => name)
      return signed({ head: { ...head, headers }, body }, rule, fields, scope, names)
    },
  },
  samples: [{}, { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: 'token', unsignedPayload: true }],
})

/** The request with every header signed that `signedHeaders` names or the protocol asks for, and with no other token than the rule's. */
function signed(
  { head, body }: WholeRequest,
  rule: Options,
  fields: FieldValues,
  scope: Scope,
  signedHeaders: readonly string[],
): WholeRequest {
  const token = rule.sessionToken === undefined ? null : headerFieldValue(fields, rule.sessionToken)
  const kept = head.headers.filter(([name]) => !sameHeader(name, TOKEN) && !sameHeader(name, 'authorization'))
  const headers: HeaderPair[] = token === null ? kept : [...kept, [TOKEN, token]]
  const names = new Set(['host', ...headers.map(([name]) => name).filter((name) => name.startsWith('x-amz-'))])
  for (const name of signedHeaders)
    if (headers.some(([key]) => key === name) && !WRITTEN_BY_OTHERS.has(name)) names.add(name)
  const list = [...names].toSorted()
  const signable = { ...head, headers, payload: payloadOf(headers, body) }
  const secret = fieldValue(fields, rule.secretAccessKey)
  const signature = signatureOf(signable, list, scope, sole(headers, DATE), secret).toString('hex')
  const credential = `${accessKeyIdOf(fields, rule)}/${scope.date}/${scope.region}/${scope.service}/aws4_request`
  const value = `${ALGORITHM} Credential=${credential}, SignedHeaders=${list.join(';')}, Signature=${signature}`
  return { head: withHeader({ ...head, headers }, 'authorization', value), body }
}

interface Authorization {
  readonly accessKeyId: string
  readonly scope: Scope
  readonly signedHeaders: readonly string[]
  readonly signature: Buffer
}

const FORM =
  /^AWS4-HMAC-SHA256 +Credential=([^/,\s]{1,256})\/(\d{8})\/([a-z0-9-]{1,64})\/([a-z0-9-]{1,64})\/aws4_request *, *SignedHeaders=([a-z0-9;._-]{1,8192}) *, *Signature=([0-9a-f]{64})$/

function parsed(value: string): Authorization {
  if (!value.startsWith(`${ALGORITHM} `)) throw unsupported('The Authorization header is of another algorithm.')
  const match = FORM.exec(value)
  if (match === null) throw invalid('The Authorization header has not the form of its algorithm.')
  const [, accessKeyId = '', date = '', region = '', service = '', names = '', signature = ''] = match
  const signedHeaders = names.split(';')
  const sorted = [...new Set(signedHeaders)].toSorted()
  if (sorted.join(';') !== names) throw invalid('The names of the signed headers are not in order.')
  return { accessKeyId, scope: { date, region, service }, signedHeaders, signature: Buffer.from(signature, 'hex') }
}

function accessKeyIdOf(fields: FieldValues, rule: Options): string {
  const value = headerFieldValue(fields, rule.accessKeyId)
  if (!/^[^/,\s]+$/.test(value))
    throw new KeywardError('secret_not_injectable', `The field ${rule.accessKeyId} is no access key id.`)
  return value
}

/** The one value of a header that a signature is about. */
function sole(headers: readonly HeaderPair[], name: string): string {
  const [value, ...others] = headerValues(headers, name)
  if (value === undefined || others.length > 0) throw invalid(`The header ${name} is not there once.`)
  return value
}

/** What is sent has to be what was signed, as far as it says where the request goes and what it asks for. */
function refuseUnsigned({ headers }: SentRequest, signedHeaders: readonly string[]): void {
  for (const name of ['host', DATE])
    if (!signedHeaders.includes(name)) throw invalid(`The header ${name} is not signed.`)
  for (const [name] of headers)
    if (name.startsWith('x-amz-') && !signedHeaders.includes(name)) throw invalid(`The header ${name} is not signed.`)
  for (const name of signedHeaders)
    if (!headers.some(([key]) => key === name)) throw invalid('A header that was signed is not there.')
}

/** What stands for the body in the signature: what the caller says, or its SHA-256. */
function payloadOf(headers: readonly HeaderPair[], body: Uint8Array | null): string {
  const said = headerValues(headers, PAYLOAD)
  if (said.length === 0) return sha256(body ?? new Uint8Array(0))
  const value = sole(headers, PAYLOAD)
  if (value.startsWith('STREAMING-') && !UNSIGNED.has(value)) throw unsupported('The body is signed chunk by chunk.')
  return value
}

/** Milliseconds since the Unix epoch, or null where the text is no `YYYYMMDDTHHMMSSZ`. */
function timeOf(text: string): number | null {
  if (!/^\d{8}T\d{6}Z$/.test(text)) return null
  const iso = text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6.000Z')
  const at = Date.parse(iso)
  // A day that does not exist would be taken for the one after it.
  return !Number.isNaN(at) && new Date(at).toISOString() === iso ? at : null
}

/** Whether the query carries a signature, of this version or an older one. */
function signsInQuery(target: string): boolean {
  const mark = target.indexOf('?')
  if (mark < 0) return false
  return target
    .slice(mark + 1)
    .split('&')
    .some((parameter) => IN_QUERY.test(decodeSegment(parameter.split('=', 1)[0] ?? '')))
}

const IN_QUERY = /^(?:x-amz-(?:signature|algorithm|credential)|awsaccesskeyid)$/i

function invalid(detail: string): KeywardError {
  return new KeywardError('signature_invalid', detail)
}

function unsupported(detail: string): KeywardError {
  return new KeywardError('signature_unsupported', detail)
}
