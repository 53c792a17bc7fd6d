import { KeywardError } from '../core/errors.ts'
import type { HeaderPair } from '../core/request.ts'
import type { Check } from './conformance.ts'
import type { PreparedInjector, WholeRequest } from './injector.ts'

/** What an injector that reads bodies promises beside that, for JSON and forms alike. */
export const bodyChecks: readonly Check[] = [
  function asksForTheBody(injector) {
    const { head } = blankRequest(injector)
    if (injector.readsBody?.(head) !== true) return 'it does not ask for the body that has its place'
    const other = withHeader({ head, body: null }, 'content-type', 'text/plain').head
    return injector.readsBody(other) ? 'it asks for a body in which its place cannot be' : null
  },
  function readsEveryWriting(injector, fields) {
    const filled = injector.inject(blankRequest(injector), fields)
    for (const value of Object.values(fields))
      for (const [spelling, request] of escapedBodies(filled, value))
        if (injector.find(request)?.text !== value) return `it does not find what is written as ${spelling}`
    return null
  },
  function escapesWhatItWrites(injector, fields) {
    const awkward = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, `"\\${value}&;=%25+ é"`]))
    const found = injector.find(injector.inject(blankRequest(injector), awkward))
    return found !== null && found.text === awkward[found.field] ? null : 'it does not escape what it writes'
  },
  function refusesWhatHasTwoReadings(injector, fields) {
    const blank = blankRequest(injector)
    const type = injector.blank?.contentType ?? ''
    const text = textOf(blank)
    const broken: [string, WholeRequest][] = [
      ['a content coding', withHeader(blank, 'content-encoding', 'gzip')],
      ['another charset', withHeader(blank, 'content-type', `${type}; charset=utf-16le`)],
      ['bytes that are not UTF-8', { ...blank, body: Buffer.concat([Buffer.from(text), Buffer.from([0xff])]) }],
      ['something behind its end', { ...blank, body: Buffer.from(`${text}&%=%`) }],
    ]
    for (const [what, request] of broken) {
      for (const step of [() => injector.find(request), () => injector.inject(request, fields)])
        if (codeOf(step) !== 'body_not_injectable') return `it takes a body with ${what}`
    }
    return null
  },
  function addsNoPlace(injector, fields) {
    const blank = blankRequest(injector)
    const without: [string, WholeRequest][] = [
      ['no body', { ...blank, body: null }],
      ['an empty body', { ...blank, body: new Uint8Array(0) }],
      ['a body without the place', { ...blank, body: Buffer.from(textOf(blank).startsWith('{') ? '{}' : 'z=1') }],
      ['a body of another type', withHeader(blank, 'content-type', 'multipart/form-data; boundary=x')],
    ]
    for (const [what, request] of without) {
      if (injector.find(request) !== null) return `it finds something in ${what}`
      if (codeOf(() => injector.inject(request, fields)) !== 'body_not_injectable') return `it injects into ${what}`
    }
    return null
  },
]

/** The same body with each character of `value` escaped, and with every second one, with the name of the spelling. */
export function escapedBodies(request: WholeRequest, value: string): [string, WholeRequest][] {
  const isJson = textOf(request).startsWith('{')
  const hex = (letter: string): string => letter.charCodeAt(0).toString(16)
  const escape = (letter: string): string => (isJson ? `\\u${hex(letter).padStart(4, '0')}` : `%${hex(letter)}`)
  const spellings: [string, string][] = [
    ['escapes', [...value].map(escape).join('')],
    ['some escapes', [...value].map((letter, at) => (at % 2 === 0 ? letter : escape(letter).toUpperCase())).join('')],
  ]
  return spellings.map(([name, written]) => [
    name,
    { ...request, body: Buffer.from(textOf(request).replaceAll(value, written.replaceAll('\\U', '\\u'))) },
  ])
}

/** The same body with all that it holds once more. */
export function twice(request: WholeRequest): WholeRequest {
  const text = textOf(request)
  const inner = text.slice(1, -1)
  return { ...request, body: Buffer.from(text.startsWith('{') ? `{${inner},${inner}}` : `${text}&${text}`) }
}

export function textOf({ body }: WholeRequest): string {
  return body === null ? '' : Buffer.from(body).toString('utf8')
}

export function occurrences(text: string, value: string): number {
  return text.split(value).length - 1
}

function blankRequest({ blank }: PreparedInjector): WholeRequest {
  return {
    head: {
      method: 'POST',
      scheme: 'https',
      host: 'api.example.com',
      port: 443,
      target: '/v1/things',
      headers: [['content-type', blank?.contentType ?? '']],
    },
    body: Buffer.from(blank?.body ?? ''),
  }
}

function withHeader({ head, body }: WholeRequest, name: string, value: string): WholeRequest {
  const headers: HeaderPair[] = head.headers.filter(([key]) => key !== name)
  headers.push([name, value])
  return { head: { ...head, headers }, body }
}

/** The code with which a step is refused; null: it is not. */
export function codeOf(step: () => unknown): string | null {
  try {
    step()
    return null
  } catch (error) {
    return error instanceof KeywardError ? error.code : 'another error'
  }
}
