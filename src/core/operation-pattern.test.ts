import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KeywardError } from './errors.ts'
import { maximumPatternLength, maximumPatternSegments, parseOperationPattern } from './operation-pattern.ts'
import { createPathIndex, viewPath } from './path-index.ts'
import type { PathPattern, Reading } from './path-index.ts'

function pathPattern(text: string): PathPattern {
  const pattern = parseOperationPattern(text)
  if (pattern.kind !== 'path') throw new Error('a path pattern')
  return pattern
}

function fits(text: string, request: string, reading: Reading = 'exact'): boolean {
  const [method = '', path = ''] = request.split(' ')
  const view = viewPath(method, path, reading)
  return view !== null && createPathIndex([pathPattern(text)], reading).find(view) === 0
}

test('a variable is exactly one non-empty segment', () => {
  for (const text of ['GET /repos/{owner}/{repo}', 'GET /repos/*/*']) {
    expect(fits(text, 'GET /repos/a/b')).toBe(true)
    for (const path of [
      '/repos/a',
      '/repos/a/',
      '/repos/a/b/',
      '/repos/a/b/c',
      '/repos//b',
      '/Repos/a/b',
      '/x/repos/a/b',
    ]) {
      expect(fits(text, `GET ${path}`), path).toBe(false)
    }
  }
})

test('a variable may have literal text around it', () => {
  const text = 'POST /v1beta/models/{model}:generateContent'
  expect(fits(text, 'POST /v1beta/models/gemini:generateContent')).toBe(true)
  expect(fits(text, 'POST /v1beta/models/:generateContent')).toBe(false)
  expect(fits(text, 'POST /v1beta/models/gemini:streamGenerateContent')).toBe(false)
  expect(fits('GET /a/x{y}x', 'GET /a/x')).toBe(false)
})

test('the rest is zero or more segments', () => {
  for (const path of ['/a', '/a/', '/a/b', `/a/${'b/'.repeat(500)}c`])
    expect(fits('GET /a/**', `GET ${path}`), path).toBe(true)
  for (const path of ['/', '/ab', '/b/a']) expect(fits('GET /a/**', `GET ${path}`), path).toBe(false)
  for (const path of ['/', '/a', '/a/b']) expect(fits('* /**', `GET ${path}`), path).toBe(true)
})

test('methods are exact, * is any, HEAD is GET', () => {
  expect(fits('GET /a', 'HEAD /a')).toBe(true)
  expect(fits('GET /a', 'POST /a')).toBe(false)
  expect(fits('GET /a', 'get /a')).toBe(false)
  expect(fits('* /a', 'PURGE /a')).toBe(true)
})

test('percent triplets are compared without letter case, and never decoded', () => {
  expect(fits('GET /projects/a%2fb', 'GET /projects/a%2Fb')).toBe(true)
  expect(fits('GET /projects/a%2Fb', 'GET /projects/a/b')).toBe(false)
  expect(fits('GET /projects/{id}', 'GET /projects/a%2Fb')).toBe(true)
})

test('the wide reading does not care for letter case and a trailing slash', () => {
  for (const request of ['GET /a/b', 'GET /a/b/', 'GET /A/B', 'get /a/b', 'head /a/B/']) {
    expect(fits('GET /a/b', request, 'wide'), request).toBe(true)
    expect(fits('GET /A/b/', request, 'wide'), request).toBe(true)
  }
  expect(fits('GET /a/b', 'GET /a/b/c', 'wide')).toBe(false)
  expect(fits('GET /', 'GET /', 'wide')).toBe(true)
})

test('of several patterns the first in the list is found', () => {
  const index = createPathIndex(['GET /a/{x}', 'GET /a/b', '* /a/**', 'POST /a/b'].map(pathPattern), 'exact')
  const find = (method: string, path: string): number =>
    index.find(viewPath(method, path, 'exact') ?? { method, segments: [] })
  expect([find('GET', '/a/b'), find('POST', '/a/b'), find('PUT', '/a'), find('GET', '/b')]).toEqual([0, 2, 2, -1])
})

const segment = fc.constantFrom('a', 'b', 'c')
const patternText = fc
  .tuple(
    fc.constantFrom('*', 'GET', 'POST'),
    fc.array(fc.oneof(segment, fc.constantFrom('{x}', '*')), { minLength: 1, maxLength: 4 }),
    fc.boolean(),
  )
  .map(([method, segments, rest]) => `${method} /${[...segments, ...(rest ? ['**'] : [])].join('/')}`)

/** The definition, word for word, one pattern at a time. */
function plainFits(text: string, method: string, path: string): boolean {
  const [wantedMethod, wantedPath = ''] = text.split(' ')
  if (wantedMethod !== '*' && wantedMethod !== method) return false
  const source = wantedPath
    .split('/')
    .slice(1)
    .map((part) => (part === '**' ? '(/.*)?' : part === '{x}' || part === '*' ? '/[^/]+' : `/${part}`))
    .join('')
  return new RegExp(`^${source}$`).test(path)
}

test('many patterns in one tree answer as each does alone', () => {
  fc.assert(
    fc.property(
      fc.array(patternText, { minLength: 1, maxLength: 12 }),
      fc.constantFrom('GET', 'POST', 'PUT'),
      fc.array(segment, { minLength: 1, maxLength: 6 }),
      (texts, method, segments) => {
        const path = `/${segments.join('/')}`
        const view = viewPath(method, path, 'exact')
        const found = view === null ? null : createPathIndex(texts.map(pathPattern), 'exact').find(view)
        expect(found).toBe(texts.findIndex((text) => plainFits(text, method, path)))
      },
    ),
    { numRuns: 1000 },
  )
})

test('the wide reading finds whatever the exact one finds', () => {
  fc.assert(
    fc.property(patternText, fc.array(fc.constantFrom('a', 'b', 'A', ''), { maxLength: 6 }), (text, segments) => {
      const request = `GET /${segments.join('/')}`
      if (fits(text, request)) expect(fits(text, request, 'wide')).toBe(true)
    }),
  )
})

test('no pattern takes long, whatever the path', () => {
  const texts = Array.from(
    { length: 400 },
    (_, index) =>
      `GET /${Array.from({ length: 12 }, (_, bit) => ((index >> bit) & 1 ? 'a' : '{x}')).join('/')}/z${index}`,
  )
  const index = createPathIndex(texts.map(pathPattern), 'exact')
  const view = viewPath('GET', `/${'a/'.repeat(5000)}`, 'exact')
  expect(view?.segments.length).toBeLessThanOrEqual(maximumPatternSegments + 2)
  const start = performance.now()
  for (let round = 0; round < 100; round += 1) if (view !== null) index.find(view)
  expect(performance.now() - start).toBeLessThan(1000)
})

test('a malformed pattern is refused by name', () => {
  const malformed = ['', ' ', 'GET', 'GET  /a', ' GET /a', 'GET /a ', 'get /a', 'HEAD /a', 'GET a', '/a', 'GET /a//b', 'GET //', 'GET /a/../b', 'GET /.', 'GET /**/a', 'GET /a**', 'GET /*.json', 'GET /{a}{b}', 'GET /{}', 'GET /{a', 'GET /a}', 'GET /a?b=c', 'GET /a#b', 'GET /a;b', 'GET /%zz', 'GET /%', 'GET /%61', 'GET /a\\b', 'GET /ä', 'GET /a\nb', 'GET|POST /a', 'issues..create', '.issues', 'issues.', '*.issues', 'issues*', '**', 'iss\u00fces'] // prettier-ignore
  for (const text of malformed) {
    expect(() => parseOperationPattern(text), JSON.stringify(text)).toThrow(KeywardError)
    expect(() => parseOperationPattern(text)).toThrow(JSON.stringify(text))
  }
  const tooLong = `GET /${'a'.repeat(maximumPatternLength)}`
  expect(() => parseOperationPattern(tooLong)).toThrow('longer')
  expect(() => parseOperationPattern(`GET ${'/a'.repeat(maximumPatternSegments + 1)}`)).toThrow('segments')
  expect(parseOperationPattern(`GET ${'/a'.repeat(maximumPatternSegments)}`).kind).toBe('path')
})

test('any text is either parsed or refused with usage', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'*/{}. GET?%2fa-é') }), (text) => {
      try {
        expect(parseOperationPattern(text).text).toBe(text)
      } catch (error) {
        expect(error).toMatchObject({ code: 'usage' })
      }
    }),
    { numRuns: 2000 },
  )
})
