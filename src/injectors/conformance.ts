import { KeywardError } from '../core/errors.ts'
import type { RandomText } from '../core/placeholder.ts'
import { pathOf } from '../core/request.ts'
import type { HeaderPair, RequestHead } from '../core/request.ts'
import { bodyChecks, escapedBodies, occurrences, textOf, twice } from './conformance-body.ts'
import { proofChecks } from './conformance-proof.ts'
import { sameHeader } from './header-place.ts'
import type { FieldValues, Place, PreparedInjector, RegisteredInjector, WholeRequest } from './injector.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const secretLength = 32

/**
 * What every injector promises, tried with each of its samples. Gives one sentence for each promise
 * that is broken; none means that the injector conforms. Secrets are drawn from `random`.
 */
export function checkInjector(injector: RegisteredInjector, random: RandomText): string[] {
  const broken: string[] = []
  if (injector.samples.length === 0) broken.push('it has no samples')
  if (accepts(injector, { ...plainObject(injector.samples[0]), unheardOf: true }))
    broken.push('it accepts an option that it does not know')
  for (const sample of injector.samples) {
    const prepared = injector.prepare(sample)
    for (const check of checksOf(prepared)) {
      const fields = Object.fromEntries(prepared.fields.map((name) => [name, random(secretLength, alphabet)]))
      const complaint = complaintOf(check, prepared, fields, random(secretLength, alphabet))
      if (complaint !== null) broken.push(`${prepared.describe()}: ${complaint}`)
    }
  }
  return broken
}

export type Check = (injector: PreparedInjector, fields: FieldValues, old: string) => string | null

/** What is signed has no empty place, so that it is tried in its own way. */
function checksOf({ proof, blank }: PreparedInjector): readonly Check[] {
  if (proof !== null) return proofChecks
  return blank === null ? checks : [...checks, ...bodyChecks]
}

function complaintOf(check: Check, ...input: Parameters<Check>): string | null {
  try {
    return check(...input)
  } catch (error) {
    return `${check.name} meets ${error instanceof Error ? error.name : 'something'} where nothing is wrong`
  }
}

const checks: readonly Check[] = [
  function readsFields(injector) {
    return injector.fields.length === 0 ? 'it reads no field' : null
  },
  function touchesOnlyItsPlace(injector, fields) {
    for (const request of requests(injector)) {
      const after = injector.inject(request, fields)
      if (JSON.stringify(remainder(after, injector.place)) !== JSON.stringify(remainder(request, injector.place))) {
        return 'it changes more than its place'
      }
      if (!Object.values(fields).some((value) => textOf(after).replace(value, '') === textOf(request)))
        return 'it changes more of the body than its place'
      if (injector.place.in === 'path' && !pathOf(after.head.target).endsWith(pathOf(request.head.target)))
        return 'it changes more than the start of the path'
    }
    return null
  },
  function writesExactlyOnce(injector, fields) {
    for (const request of requests(injector)) {
      const after = injector.inject(request, fields)
      for (const [name, value] of Object.entries(fields)) {
        if (sightings(after, value) !== 1) return `the field ${name} does not stand in the request exactly once`
      }
      if (occupants(after, injector.place).length !== 1) return 'its place is not filled exactly once'
    }
    return null
  },
  function changesNothingGiven(injector, fields) {
    for (const request of requests(injector)) {
      const before = JSON.stringify(request)
      injector.inject(request, fields)
      injector.find(request)
      if (JSON.stringify(request) !== before) return 'it changes the request that it was given'
    }
    return null
  },
  function isDeterministic(injector, fields) {
    for (const request of requests(injector)) {
      const [first, second] = [injector.inject(request, fields), injector.inject(request, fields)]
      if (JSON.stringify(first) !== JSON.stringify(second)) return 'the same input gives different requests'
      if (JSON.stringify(injector.inject(first, fields)) !== JSON.stringify(first))
        return 'injecting twice is not the same as once'
    }
    return null
  },
  function removesWhatStoodThere(injector, fields, old) {
    for (const request of requests(injector)) {
      for (const [spelling, occupied] of occupy(injector, request, fields, old)) {
        if (sightings(injector.inject(occupied, fields), old) > 0)
          return `it leaves what stood there, spelled as ${spelling}`
      }
    }
    return null
  },
  function refusesControlCharacters(injector, fields) {
    for (const name of injector.fields) {
      for (const bad of ['\r\nx-evil: 1', '\n', '\r', '\0', '\t', '\u007f', '\u0085']) {
        const complaint = refusal(injector, { ...fields, [name]: `${fields[name]}${bad}x` }, 'secret_not_injectable')
        if (complaint !== null) return `with ${JSON.stringify(bad)} in the field ${name} ${complaint}`
      }
      const complaint = refusal(injector, { ...fields, [name]: '' }, 'secret_not_injectable')
      if (complaint !== null) return `with the field ${name} empty ${complaint}`
    }
    return null
  },
  function refusesAMissingField(injector, fields) {
    for (const name of injector.fields) {
      const { [name]: _, ...others } = fields
      const complaint = refusal(injector, others, 'field_missing')
      if (complaint !== null) return `without the field ${name} ${complaint}`
    }
    return null
  },
  function findsWhatItWrote(injector, fields) {
    for (const request of requests(injector)) {
      if (injector.find(request) !== null) return 'it finds something where nothing is'
      const found = injector.find(injector.inject(request, fields))
      if (found === null) return 'it does not find what it wrote'
      if (found.text !== fields[found.field]) return 'it finds something else than it wrote'
    }
    return null
  },
  function refusesAPlaceFilledTwice(injector, fields) {
    if (injector.place.in === 'path') return null
    const filled = injector.inject(plainRequest(injector), fields)
    try {
      injector.find(fillTwice(filled, injector.place))
    } catch (error) {
      if (!(error instanceof KeywardError) || error.code !== 'placeholder_ambiguous')
        return 'it refuses a place filled twice with another error'
      return shows(error, fields) ? 'its error about a place filled twice shows the value' : null
    }
    return 'it does not refuse a place filled twice'
  },
  function describesWithoutSecrets(injector, fields) {
    injector.inject(plainRequest(injector), fields)
    const text = injector.describe()
    if (text === '') return 'it does not describe itself'
    return Object.values(fields).some((value) => text.includes(value)) ? 'its description shows the value' : null
  },
  function namesDerivedTexts(injector, fields) {
    const awkward = Object.fromEntries(Object.keys(fields).map((name) => [name, `${fields[name]}/+ &%~`]))
    for (const values of [fields, awkward]) {
      const after = attempt(() => injector.inject(plainRequest(injector), values))
      if (after === null) continue
      const known = [...Object.values(values), ...injector.derived(values)]
      const [written] = occupants(after, injector.place)
      if (written === undefined || !known.some((text) => written.includes(text)))
        return 'what it wrote is neither the value nor a derived text'
      if (injector.derived(values).some((text) => Object.values(values).includes(text)))
        return 'its derived texts repeat the plain value'
    }
    return null
  },
]

const plainHead: RequestHead = freeze({
  method: 'POST',
  scheme: 'https',
  host: 'api.example.com',
  port: 443,
  target: '/v1/things?limit=3&order=a%20b',
  headers: [
    ['host', 'api.example.com'],
    ['accept', 'application/json'],
    ['x-other', 'kept'],
    ['content-type', 'application/json'],
  ],
})

function heads(): RequestHead[] {
  return [
    plainHead,
    freeze({ ...plainHead, target: '/', headers: [] }),
    freeze({ ...plainHead, method: 'GET', target: '/a/b?flag&x=' }),
  ]
}

/** The same for this injector: with a body that has its place, where it reads bodies. */
function requests({ blank }: PreparedInjector): WholeRequest[] {
  return heads().map((head) => {
    if (blank === null) return Object.freeze({ head, body: null })
    const headers: HeaderPair[] = head.headers.filter(([name]) => name !== 'content-type')
    headers.push(['content-type', blank.contentType])
    return Object.freeze({ head: freeze({ ...head, headers }), body: Buffer.from(blank.body) })
  })
}

function plainRequest(injector: PreparedInjector): WholeRequest {
  return requests(injector)[0] ?? { head: plainHead, body: null }
}

function freeze(head: RequestHead): RequestHead {
  for (const pair of head.headers) Object.freeze(pair)
  Object.freeze(head.headers)
  return Object.freeze(head)
}

/** The head without the place, as something to compare. */
function remainder({ head }: WholeRequest, place: Place): unknown {
  const headers = place.in === 'header' ? head.headers.filter(([name]) => !sameHeader(name, place.name)) : head.headers
  const [path = '', query = ''] = splitOnce(head.target)
  const parameters = query === '' ? [] : query.split('&')
  const kept = place.in === 'query' ? parameters.filter((parameter) => !isNamed(parameter, place.name)) : parameters
  return [
    head.method,
    head.scheme,
    head.host,
    head.port,
    headers,
    place.in === 'path' ? path.split('/').at(-1) : path,
    kept,
  ]
}

/** The texts in the place. A path is one text, and so is a body. */
function occupants(request: WholeRequest, place: Place): string[] {
  const { head } = request
  if (place.in === 'body') return [textOf(request)]
  if (place.in === 'header')
    return head.headers.filter(([name]) => sameHeader(name, place.name)).map(([, value]) => value)
  const [path = '', query = ''] = splitOnce(head.target)
  return place.in === 'path' ? [path] : query.split('&').filter((parameter) => isNamed(parameter, place.name))
}

/** Requests in which the place already holds `old`, with the name of the spelling. */
function occupy(
  injector: PreparedInjector,
  request: WholeRequest,
  fields: FieldValues,
  old: string,
): [string, WholeRequest][] {
  const place = injector.place
  if (place.in === 'path' || place.in === 'body') {
    const filled = injector.inject(request, Object.fromEntries(Object.keys(fields).map((name) => [name, old])))
    const ways: [string, WholeRequest][] = [['the injector writes it', filled]]
    return place.in === 'path' ? ways : [...ways, ...escapedBodies(filled, old)]
  }
  const { head } = request
  const of = (changed: RequestHead): WholeRequest => ({ ...request, head: freeze(changed) })
  if (place.in === 'header') {
    const values = [old, `Bearer ${old}`, `Basic ${Buffer.from(`${old}:${old}`).toString('base64')}`, `token ${old}`]
    const names = [
      place.name,
      place.name.toUpperCase(),
      place.name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()),
      place.name.replaceAll('-', '_'),
    ]
    return names.flatMap((name) =>
      values.map((value): [string, WholeRequest] => {
        const pairs: HeaderPair[] = [[name, value], ...head.headers, [place.name, value], [name, `Bearer ${old}`]]
        return [name, of({ ...head, headers: pairs })]
      }),
    )
  }
  const names = [
    place.name,
    place.name.toUpperCase(),
    `%${place.name.charCodeAt(0).toString(16)}${place.name.slice(1)}`,
  ]
  const join = head.target.includes('?') ? '&' : '?'
  return names.map((name) => [
    name,
    of({ ...head, target: `${head.target}${join}${place.name}=${old}&z=1&${name}=${old}` }),
  ])
}

function fillTwice(request: WholeRequest, place: Exclude<Place, { in: 'path' }>): WholeRequest {
  if (place.in === 'body') return twice(request)
  const { head } = request
  const there = occupants(request, place)
  if (place.in === 'query') return { ...request, head: freeze({ ...head, target: `${head.target}&${there[0] ?? ''}` }) }
  const again: HeaderPair[] = there.map((value) => [place.name, value])
  return { ...request, head: freeze({ ...head, headers: [...head.headers, ...again] }) }
}

/** How often the value stands in the request: as it is, with percent or JSON escapes undone, or inside base64. */
function sightings(request: WholeRequest, value: string): number {
  let count = 0
  for (const part of [request.head.target, ...request.head.headers.flat(), textOf(request)]) {
    const plain =
      occurrences(part, value) || occurrences(percentDecoded(part), value) || occurrences(jsonDecoded(part), value)
    const encoded = part.split(/[^A-Za-z0-9+/=_-]+/).map((token) => Buffer.from(token, 'base64').toString('latin1'))
    count += plain || encoded.reduce((sum, text) => sum + occurrences(text, value), 0)
  }
  return count
}

function refusal(injector: PreparedInjector, fields: FieldValues, code: string): string | null {
  try {
    injector.inject(plainRequest(injector), fields)
  } catch (error) {
    if (!(error instanceof KeywardError) || error.code !== code) return `it does not throw ${code}`
    return shows(error, fields) ? 'its error shows the value' : null
  }
  return 'it injects'
}

function shows(error: KeywardError, fields: FieldValues): boolean {
  const text = `${error.message} ${error.detail ?? ''} ${error.stack ?? ''} ${String(error.cause)}`
  return Object.values(fields).some((value) => value !== '' && text.includes(value.slice(0, secretLength)))
}

function accepts(injector: RegisteredInjector, options: unknown): boolean {
  return attempt(() => injector.prepare(options)) !== null
}

function attempt<T>(run: () => T): T | null {
  try {
    return run()
  } catch {
    return null
  }
}

function plainObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {}
}

function splitOnce(target: string): string[] {
  const mark = target.indexOf('?')
  return mark < 0 ? [target] : [target.slice(0, mark), target.slice(mark + 1)]
}

function isNamed(parameter: string, name: string): boolean {
  return percentDecoded(parameter.split('=', 1)[0] ?? '').toLowerCase() === name.toLowerCase()
}

function percentDecoded(text: string): string {
  return attempt(() => decodeURIComponent(text)) ?? text
}

function jsonDecoded(text: string): string {
  return text.replaceAll(/\\u([0-9a-f]{4})/gi, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)))
}
