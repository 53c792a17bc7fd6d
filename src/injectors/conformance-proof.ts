import { KeywardError } from '../core/errors.ts'
import type { Check } from './conformance.ts'
import { codeOf, occurrences, textOf } from './conformance-body.ts'
import { sameHeader } from './header-place.ts'
import type { FieldValues, PreparedInjector, SentRequest, WholeRequest } from './injector.ts'

const NOW = Date.UTC(2026, 10, 27, 12)
const MINUTE = 60_000

/** What an injector promises whose callers sign with a placeholder. */
export const proofChecks: readonly Check[] = [
  function takesWhatWasSigned(injector, fields) {
    const request = example(injector, fields)
    for (const minutes of [0, -4, 4]) {
      const code = codeOf(() => verify(injector, sent(request), fields, NOW + minutes * MINUTE))
      if (code !== null) return `it refuses (${code}) what was signed ${minutes} minutes away`
    }
    const found = injector.find(request)
    if (found === null) return 'it does not find whose signature it is'
    if (signs(injector, found.field) || found.text !== fields[found.field])
      return 'it finds something else than what names the signer'
    return injector.readsBody?.(request.head) === true ? null : 'it does not ask for the body that was signed'
  },
  function refusesAnotherTime(injector, fields) {
    const request = sent(example(injector, fields))
    for (const minutes of [-6, 6, -24 * 60, 24 * 60])
      if (codeOf(() => verify(injector, request, fields, NOW + minutes * MINUTE)) !== 'signature_expired')
        return 'it takes a signature of another time'
    return null
  },
  function refusesAnotherKey(injector, fields, other) {
    const request = sent(example(injector, fields))
    for (const name of injector.proof?.fields ?? [])
      if (codeOf(() => verify(injector, request, { ...fields, [name]: other }, NOW)) !== 'signature_invalid')
        return 'it takes a signature of another key'
    return null
  },
  function refusesWhatWasChanged(injector, fields) {
    const request = sent(example(injector, fields))
    const changed: [string, SentRequest][] = [
      ['method', { ...request, method: 'PATCH' }],
      ['path', { ...request, target: `/x${request.target}` }],
      ['query', { ...request, target: `${request.target}1` }],
      ['body', { ...request, body: Buffer.from('another') }],
      ['missing body', { ...request, body: null }],
      ...request.headers.map(([name], at): [string, SentRequest] => [
        `header ${name}`,
        { ...request, headers: request.headers.with(at, [name, `${request.headers[at]?.[1]}0`]) },
      ]),
      ...request.headers.map(([name], at): [string, SentRequest] => [
        `missing header ${name}`,
        { ...request, headers: request.headers.toSpliced(at, 1) },
      ]),
    ]
    for (const [what, other] of changed)
      if (codeOf(() => verify(injector, other, fields, NOW)) !== 'signature_invalid')
        return `it takes a signature over another request (${what})`
    return null
  },
  function signsAnew(injector, fields, other) {
    const own = Object.fromEntries(Object.keys(fields).map((name, at) => [name, `${other}${at}`]))
    const request = example(injector, own)
    const before = JSON.stringify(request)
    const after = injector.inject(request, fields)
    if (JSON.stringify(request) !== before) return 'it changes the request that it was given'
    if (codeOf(() => verify(injector, sent(after), fields, NOW)) !== null) return 'what it signed does not verify'
    if (codeOf(() => verify(injector, sent(after), own, NOW)) !== 'signature_invalid')
      return 'what it signed verifies with the placeholder'
    for (const [name, value] of Object.entries(fields))
      if (sightings(after, value) !== (signs(injector, name) ? 0 : 1))
        return `the field ${name} does not stand in the request as often as it should`
    if (Object.values(own).some((value) => sightings(after, value) > 0)) return 'it leaves what stood there'
    if (JSON.stringify(injector.inject(after, fields)) !== JSON.stringify(after))
      return 'injecting twice is not the same as once'
    return JSON.stringify(remainder(after, injector)) === JSON.stringify(remainder(request, injector))
      ? null
      : 'it changes more than its place'
  },
  function refusesWhatIsNotSigned(injector, fields) {
    return codeOf(() => injector.inject(plainRequest, fields)) === null ? 'it signs what nobody has signed' : null
  },
  function refusesBadFields(injector, fields) {
    const request = example(injector, fields)
    for (const name of injector.fields) {
      const { [name]: value = '', ...others } = fields
      if (codeOf(() => injector.inject(request, others)) !== 'field_missing') return `it injects without ${name}`
      for (const bad of ['', `${value}\n`, `${value}\0`])
        if (codeOf(() => injector.inject(request, { ...fields, [name]: bad })) !== 'secret_not_injectable')
          return `it injects a control character or nothing as ${name}`
    }
    return null
  },
  function showsNoValue(injector, fields, other) {
    const request = example(injector, { ...fields })
    const signing = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, `${value}${other}`]))
    const steps = [
      () => verify(injector, sent(request), signing, NOW),
      () => injector.inject(request, { ...fields, [injector.fields[0] ?? '']: `${other}\n` }),
    ]
    for (const step of steps) {
      const text = shownBy(step)
      if ([other, ...Object.values(fields)].some((value) => text.includes(value))) return 'its error shows the value'
    }
    return Object.values(fields).some((value) => injector.describe().includes(value))
      ? 'its description shows the value'
      : null
  },
]

const plainRequest: WholeRequest = {
  head: {
    method: 'POST',
    scheme: 'https',
    host: 'api.example.com',
    port: 443,
    target: '/v1/things?limit=3&order=a%20b',
    headers: [
      ['host', 'api.example.com'],
      ['x-other', 'kept'],
      ['content-type', 'application/json'],
    ],
  },
  body: Buffer.from('{"a":"é"}'),
}

function example(injector: PreparedInjector, fields: FieldValues): WholeRequest {
  return injector.proof?.example(plainRequest, fields, NOW) ?? plainRequest
}

function sent({ head, body }: WholeRequest): SentRequest {
  return { method: head.method, target: head.target, headers: head.headers, body }
}

function verify({ proof }: PreparedInjector, request: SentRequest, fields: FieldValues, now: number): void {
  proof?.verify(request, fields, now)
}

function signs({ proof }: PreparedInjector, field: string): boolean {
  return proof?.fields.includes(field) === true
}

/** The request without the place, and without what belongs to it. */
function remainder({ head, body }: WholeRequest, { place }: PreparedInjector): unknown {
  const own = place.in === 'header' ? [place.name, ...(place.beside ?? [])] : []
  const headers = head.headers.filter(([name]) => !own.some((one) => sameHeader(name, one)))
  return [head.method, head.scheme, head.host, head.port, head.target, headers, textOf({ head, body })]
}

function sightings(request: WholeRequest, value: string): number {
  const { head } = request
  return [head.target, ...head.headers.flat(), textOf(request)].reduce((sum, part) => sum + occurrences(part, value), 0)
}

function shownBy(step: () => unknown): string {
  try {
    step()
    return ''
  } catch (error) {
    return error instanceof KeywardError ? `${error.message} ${error.detail ?? ''} ${error.stack ?? ''}` : String(error)
  }
}
