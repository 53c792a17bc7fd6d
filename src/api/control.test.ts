import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { createControlApi, handlers } from './control.ts'
import type { ControlParts } from './parts.ts'
import { inputs, MAX_BODY_BYTES, MAX_POLICY_BODY_BYTES } from './schema.ts'

/** Nothing of Keyward may be touched by a request that is not well-formed. */
function untouchable(): ControlParts {
  return new Proxy(Object.create(null), {
    get: (_, member) => {
      throw new Error(`touched ${String(member)}`)
    },
  })
}

const errorsSeen: unknown[] = []
const api = createControlApi(untouchable(), { actor: 'operator:test', onError: (_, error) => errorsSeen.push(error) })
const routes = [...Object.keys(handlers), 'GET /journal']
const writes = routes.filter((route) => !route.startsWith('GET '))

function ask(route: string, body: string | undefined, type = 'application/json', query = ''): Promise<Response> {
  const [method = 'GET', template = '/'] = route.split(' ')
  const path = template
    .replace(':environment', 'dev')
    .replace(':name', 'one')
    .replace(':id', 'abc')
    .replace(':service', 'some')
  const init = body === undefined ? { method } : { method, body, headers: { 'content-type': type } }
  return Promise.resolve(api.request(`http://keyward${path}${query}`, init))
}

async function problemOf(response: Response): Promise<{ status: number; code: unknown; text: string }> {
  const text = await response.text()
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  const { code } = JSON.parse(text)
  expect(text).not.toMatch(/\bat .*\.ts\b|Error:/)
  return { status: response.status, code, text }
}

test('every route has a schema and every schema a route', () => {
  expect(routes.toSorted()).toEqual(Object.keys(inputs).toSorted())
})

describe.each(writes)('%s', (route) => {
  test('refuses what is not JSON, without quoting it', async () => {
    const canary = randomBytes(12).toString('hex')
    const problem = await problemOf(await ask(route, `{"fields": ${canary}`))
    expect(problem).toMatchObject({ status: 400, code: 'request_malformed' })
    expect(problem.text).not.toContain(canary)
  })

  test.each(['null', '[]', '"text"', '7', 'true'])('refuses the body %s', async (body) => {
    expect(await problemOf(await ask(route, body))).toMatchObject({ status: 400, code: 'usage' })
  })

  test('refuses a member that it does not know, and never repeats its value', async () => {
    const canary = randomBytes(12).toString('hex')
    const problem = await problemOf(await ask(route, JSON.stringify({ surplus: canary, [`sk-${canary}`]: 1 })))
    expect(problem).toMatchObject({ status: 400, code: 'usage' })
    expect(problem.text).not.toContain(canary)
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonx'])(
    'refuses the content type %s',
    async (type) => {
      expect(await problemOf(await ask(route, '{}', type))).toMatchObject({ status: 400, code: 'request_malformed' })
    },
  )

  test('refuses a body without a content type', async () => {
    const [method = 'POST', template = '/'] = route.split(' ')
    const path = template.replaceAll(/:[a-z]+/g, 'one')
    const response = await api.request(`http://keyward${path}`, { method })
    expect(await problemOf(response)).toMatchObject({ status: 400, code: 'request_malformed' })
  })

  test('refuses a body over the limit', async () => {
    const body = JSON.stringify({ name: 'x'.repeat(/ \/policy/.test(route) ? MAX_POLICY_BODY_BYTES : MAX_BODY_BYTES) })
    expect(await problemOf(await ask(route, body))).toMatchObject({ status: 413, code: 'request_too_large' })
  })
})

describe.each(routes.filter((route) => route.startsWith('GET ')))('%s', (route) => {
  test('refuses a query member that it does not know', async () => {
    expect(await problemOf(await ask(route, undefined, '', '?surplus=1'))).toMatchObject({ status: 400, code: 'usage' })
  })
})

test.each([
  'GET /environments/Dev/agents/one',
  'GET /environments/dev/agents/..%2F..',
  'GET /environments/dev/credentials/a%00b',
  'GET /grants/ABC',
  `GET /services/${'x'.repeat(70)}`,
])('%s: a path parameter that is no name is refused', async (request) => {
  const [method = 'GET', path = '/'] = request.split(' ')
  const problem = await problemOf(await api.request(`http://keyward${path}`, { method }))
  expect(problem.code).toBe('usage')
})

test('a route that does not exist is a problem like any other', async () => {
  expect(await problemOf(await api.request('http://keyward/nothing'))).toMatchObject({ status: 404, code: 'not_found' })
})

test('an unexpected error is told by its reference alone', async () => {
  errorsSeen.length = 0
  const problem = await problemOf(await ask('GET /status', undefined))
  expect(problem).toMatchObject({ status: 500, code: 'internal' })
  expect(problem.text).not.toContain('touched')
  expect(errorsSeen).toHaveLength(1)
})
