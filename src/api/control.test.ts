import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { ownersDoor } from './caller.ts'
import { createControlApi, handlers } from './control.ts'
import type { ControlParts } from './parts.ts'
import { inputs, MAX_BODY_BYTES, MAX_POLICY_BODY_BYTES } from './schema.ts'

/** Nothing of Keyward may be touched by a request that is not well-formed. */
function untouchable(but: Partial<ControlParts> = {}): ControlParts {
  return new Proxy(Object.create(null), {
    get: (_, member) => {
      if (Object.hasOwn(but, member)) return Reflect.get(but, member)
      throw new Error(`touched ${String(member)}`)
    },
  })
}

const errorsSeen: unknown[] = []
const api = createControlApi(untouchable(), {
  door: ownersDoor('operator:test'),
  onError: (_, error) => errorsSeen.push(error),
})
const routes = [...Object.keys(handlers), 'GET /journal', 'POST /backups']
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

describe('a list', () => {
  const names = ['delta', 'alpha', 'charlie', 'bravo', 'echo']
  const facts = { environment: 'dev', owner: null, state: 'active', createdAt: 1 } as const
  const refuse = (): never => {
    throw new Error('a list changes nothing')
  }
  const agents = {
    add: refuse,
    suspend: refuse,
    resume: refuse,
    remove: refuse,
    find: refuse,
    get: refuse,
    list: () => names.map((name) => ({ id: `id-${name}`, record: { ...facts, name } })),
  }
  const listed = createControlApi(untouchable({ agents }), { door: ownersDoor('operator:test') })
  const idsOf = async (response: Response): Promise<string[]> => {
    const items: { id: string }[] = JSON.parse(await response.text())
    return items.map(({ id }) => id)
  }

  test('comes whole where nobody asks for pages', async () => {
    const response = await listed.request('http://keyward/agents')
    expect(await idsOf(response)).toHaveLength(names.length)
    expect(response.headers.get('link')).toBeNull()
  })

  test('comes in pages that lead from one to the next, filters included', async () => {
    const seen: string[] = []
    for (let next: string | null = '/agents?limit=2'; next !== null;) {
      const response: Response = await listed.request(`http://keyward${next}`)
      seen.push(...(await idsOf(response)))
      const link: string | null = response.headers.get('link')
      next = link === null ? null : (/^<(\/agents\?[^>]+)>; rel="next"$/.exec(link)?.[1] ?? 'not a link')
      if (next !== null) expect(next).toContain('limit=2')
    }
    expect(seen).toEqual(['id-alpha', 'id-bravo', 'id-charlie', 'id-delta', 'id-echo'])
  })

  test.each(['limit=0', 'limit=1001', 'limit=-1', 'limit=two', 'limit=1&limit=2', 'after=', 'after=!!'])(
    'refuses %s',
    async (query) => {
      const response = await listed.request(`http://keyward/agents?${query}`)
      expect(await problemOf(response)).toMatchObject({ status: 400, code: 'usage' })
    },
  )
})

describe('an idempotency key', () => {
  const refuse = (): never => {
    throw new Error('only added here')
  }
  const added: string[] = []
  const agents = {
    suspend: refuse,
    resume: refuse,
    remove: refuse,
    find: refuse,
    get: refuse,
    list: refuse,
    add: async ({ name }: { name: string }) => {
      added.push(name)
      return { id: `id${added.length}` }
    },
  }
  const environments = new Map([['dev', { name: 'dev', egress: 'deny', createdAt: 1 }]])
  const records = new Proxy(Object.create(null), {
    get: (_, member) => (member === 'get' ? (_table: string, id: string) => environments.get(id) : refuse()),
  })
  const repeating = createControlApi(untouchable({ agents, records }), { door: ownersDoor('operator:test') })
  const post = (path: string, body: object, key: string): Promise<Response> =>
    Promise.resolve(
      repeating.request(`http://keyward/environments/dev/${path}`, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
      }),
    )

  test('makes a change once and answers it each time', async () => {
    const first = await post('agents', { name: 'one' }, 'key-1')
    const second = await post('agents', { name: 'one' }, 'key-1')
    expect([first.status, await first.text()]).toEqual([200, '{"id":"id1"}'])
    expect([second.status, await second.text()]).toEqual([200, '{"id":"id1"}'])
    expect(added).toEqual(['one'])
    const other = await problemOf(await post('agents', { name: 'two' }, 'key-1'))
    expect(other).toMatchObject({ status: 422, code: 'idempotency_reused' })
    expect(added).toEqual(['one'])
  })

  test('is not taken where the answer is given once', async () => {
    const problem = await problemOf(await post('sessions', { agent: 'one' }, 'key-2'))
    expect(problem).toMatchObject({ status: 400, code: 'usage' })
  })
})
