import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect } from 'vitest'
import { ownersDoor } from '../../src/api/caller.ts'
import { createControlApi } from '../../src/api/control.ts'
import { codeOf, connectHead, proxyCredentials, type Ask } from '../e2e/gateway/requests.ts'
import type { Answer } from '../e2e/gateway/wire.ts'
import { attack, fronts, inside, type Front } from './attack.ts'
import { hostileText, hostileTexts } from './hostile.ts'
import { allOf, bearer, openScene, type Scene } from './scene.ts'

/** V1, V2: texts that a database would take for a part of its query, where nobody has proven anything yet and where people filter. */

const RUNS = 60
/** Past the minute in which the refusals of strangers are counted. */
const MINUTE_MILLISECONDS = 61_000
const ANSWERS: readonly string[] = [
  'token_missing',
  'token_invalid',
  'placeholder_required',
  'placeholder_ambiguous',
  'request_malformed',
  'request_too_large',
]

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

const tables = ['environment', 'agent', 'credential', 'grant', 'session', 'service'] as const
const everything = (): string =>
  JSON.stringify(tables.map((table) => [...scene.stage.app.records.all(table)].map(([id, body]) => [id, body])))

/** Where a text is read before anybody knows who is asking, or which credential is meant. */
function placesOf(front: Front, text: string): Partial<Ask>[] {
  // At the other doors the session is proven already; another scheme is no placeholder, and is written over.
  const keys =
    front.door === 'base-url'
      ? [`Bearer ${text}`, text, `Basic ${Buffer.from(text).toString('base64')}`]
      : [`Bearer x${text}`]
  const logins = front.door === 'absolute' ? [proxyCredentials(text), `Bearer ${text}`, text] : []
  return [
    ...keys.map((value) => ({ headers: [['Authorization', value]] as const })),
    ...logins.map((value) => ({ headers: [['Proxy-Authorization', value]] as const })),
  ]
}

async function answerOf(ask: Ask): Promise<Answer | null> {
  try {
    return await scene.stage.request(ask)
  } catch (error) {
    if (ask.protocol === 'h2' && error instanceof Error && error.message.startsWith('The stream was reset')) return null
    throw error
  }
}

attack('V1', 'in the place of a token or placeholder: a plain no that repeats nothing', fronts, async (front) => {
  const before = everything()
  const heard = scene.upstream.received().length
  const errors = scene.stage.errors.length
  await fc.assert(
    fc.asyncProperty(hostileText, async (given) => {
      // HTTP/2 allows no space at either end of a value; its codec leaves such a header out.
      const text = front.protocol === 'h2' ? given.trim() : given
      for (const place of text === '' ? [] : placesOf(front, text)) {
        const answer = await answerOf({ ...front, held: scene.echo, login: scene.login, ...place })
        // A value that HTTP/2 does not allow (RFC 9113 section 8.2.1) ends its stream without an answer.
        if (answer === null) continue
        expect([400, 401, 407, 413]).toContain(answer.status)
        expect(ANSWERS).toContain(codeOf(answer))
        // Short texts stand in any answer by chance.
        if (text.length >= 8) expect(allOf(answer).includes(text), 'the rejected text').toBe(false)
      }
    }),
    { numRuns: RUNS, examples: hostileTexts.map((text): [string] => [text]) },
  )
  expect(scene.stage.errors.length, 'errors of its own').toBe(errors)
  expect(scene.upstream.received().length, 'bytes that reached the service').toBe(heard)
  expect(everything(), 'what the store holds').toBe(before)
  scene.stage.advance(MINUTE_MILLISECONDS)
  expect((await scene.ask(front)).status, 'a rightful request').toBe(200)
})

attack(
  'V1',
  'in the credentials of CONNECT',
  fronts.filter(({ door, protocol }) => door === 'tunnel' && protocol === 'http/1.1'),
  async () => {
    const heard = scene.upstream.received().length
    for (const text of hostileTexts) {
      for (const authority of [`${scene.echo.host}:443`, 'unlisted.example.test:443']) {
        const wire = await scene.stage.dial()
        wire.write(connectHead(authority, text))
        const answer = await wire.answer()
        expect([401, 407, 413]).toContain(answer.status)
        if (text.length >= 8) expect(allOf(answer)).not.toContain(text)
        wire.close()
      }
    }
    expect(scene.upstream.received().length).toBe(heard)
    scene.stage.advance(MINUTE_MILLISECONDS)
  },
)

attack('V1', 'no statement is put together from texts', inside, () => {
  const made: string[] = []
  let statements = 0
  const [sqlite, postgres] = [/^stores\/sqlite/, /^stores\/postgres/].map((name) =>
    sources().filter(([file]) => name.test(file)),
  )
  for (const [file, text] of postgres ?? []) {
    const templates = [...text.matchAll(/`[^`]*\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|SET|BEGIN|LISTEN)\b[^`]*`/g)]
    for (const [template] of templates)
      for (const [, name = ''] of template.matchAll(/\$\{([^}]*)\}/g))
        if (!filledIn.includes(name)) made.push(`${file}: ${name}`)
    expect(/(?:SELECT|INSERT|UPDATE|DELETE|CREATE)\b[^'"`]*['"`]\s*\+/.test(text), `${file} adds to a statement`).toBe(
      false,
    )
  }
  expect(postgres?.map(([, text]) => text).join('')).toMatch(/\bkey(?:: number| = \w+\.readInt32BE)/)
  for (const [file, text] of sqlite ?? []) {
    for (const [call, , literal] of text.matchAll(
      /\.(prepare|exec)\(\s*('[^']*'|"[^"]*"|`[^`]*`|createTables(?=\)))?/g,
    )) {
      statements += 1
      // Anything else that is handed over, and a template that is filled in, could hold what somebody wrote.
      if (literal === undefined || literal.includes('${')) made.push(`${file}: ${call}`)
    }
    expect(text).toMatch(/const createTables = `[^$`]*`/)
    expect(/\.(?:prepare|exec)\(\s*(?:'[^']*'|"[^"]*"|`[^`]*`)\s*\+/.test(text), `${file} adds to a statement`).toBe(
      false,
    )
  }
  expect(statements).toBeGreaterThan(10)
  expect(made).toEqual([])
})

function sources(): [file: string, text: string][] {
  const root = join(import.meta.dirname, '../../src')
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => /^stores\/(?:sqlite|postgres(?:-[a-z]+)?)\.ts$/.test(file))
    .map((file) => [file, readFileSync(join(root, file), 'utf8')])
}

/** What may be filled into a statement for PostgreSQL where it takes no parameter: numbers of Keyward's own. */
const filledIn = [
  'TAKE_OVER_MILLISECONDS',
  'LOCK_CLASS',
  'key',
  'SCHEMA_LOCKS',
  'NAME_LOCKS',
  'keys.schema',
  'keys.name',
  'CHANNEL',
  'oldestStoreSchema',
  'NODES_LISTED_MAXIMUM',
]

/** Each filter of each list, and what of an entry it must equal. */
const filters: readonly { readonly path: string; readonly filter: string; readonly member: string }[] = [
  { path: '/credentials', filter: 'environment', member: 'environment' },
  { path: '/agents', filter: 'environment', member: 'environment' },
  { path: '/grants', filter: 'environment', member: 'environment' },
  { path: '/grants', filter: 'agent', member: 'agent' },
  { path: '/grants', filter: 'credential', member: 'credential' },
  { path: '/sessions', filter: 'environment', member: 'environment' },
  { path: '/sessions', filter: 'agent', member: 'agent' },
]

attack('V2', 'every filter and every name in a path: what fits exactly, or a plain no', inside, async () => {
  const before = everything()
  const errors: unknown[] = []
  const api = createControlApi(
    { ...scene.stage.app, stop: () => undefined },
    { door: ownersDoor('test'), onError: (_, error) => errors.push(error) },
  )
  const ask = async (target: string, method = 'GET') => {
    const init = method === 'GET' ? { method } : { method, body: '{}', headers: { 'content-type': 'application/json' } }
    const response = await api.request(`http://keyward${target}`, init)
    return { status: response.status, text: await response.text() }
  }
  await fc.assert(
    fc.asyncProperty(hostileText, async (text) => {
      const value = encodeURIComponent(text)
      for (const { path, filter, member } of filters) {
        const { status, text: said } = await ask(`${path}?${filter}=${value}`)
        if (status !== 200) expect([400, 404], `${path}?${filter}`).toContain(status)
        else for (const entry of listOf(said)) expect(entry[member]).toBe(text)
      }
      for (const path of ['/services/', '/grants/', '/environments/dev/agents/', '/environments/dev/credentials/']) {
        const { status } = await ask(`${path}${value}`)
        expect([400, 404], path).toContain(status)
        expect([400, 404], path).toContain((await ask(`${path}${value}`, 'DELETE')).status)
      }
      for (const member of ['last', 'kind', 'order', 'follow'] as const)
        expect([200, 400], member).toContain((await ask(`/journal?last=1&${member}=${value}`)).status)
    }),
    { numRuns: RUNS, examples: hostileTexts.map((text): [string] => [text]) },
  )
  expect(errors).toEqual([])
  expect(everything()).toBe(before)
})

attack('V2', 'the search of the journal takes a text as it is', inside, async () => {
  const api = createControlApi({ ...scene.stage.app, stop: () => undefined }, { door: ownersDoor('test') })
  await scene.stage.request({
    door: 'base-url',
    held: scene.echo,
    login: scene.login,
    headers: [bearer(scene.login.placeholder(scene.echo))],
  })
  const search = async (text: string): Promise<string[]> => {
    const response = await api.request(`http://keyward/journal?order=newest&text=${encodeURIComponent(text)}`)
    return (await response.text()).split('\n').filter((line) => line !== '')
  }
  expect((await search('echo')).length).toBeGreaterThan(0)
  // As a pattern, or as a part of a query, each of these would fit every entry.
  for (const text of ['.*', '%', `' OR '1'='1`, '[^]', '$', '^', '"kind":"intent"', '","', '\\u0065cho']) {
    for (const line of await search(text)) expect(valuesOf(JSON.parse(line)).join('\n')).toContain(text)
  }
})

function listOf(text: string): Record<string, unknown>[] {
  const list: unknown = JSON.parse(text)
  if (!Array.isArray(list)) throw new Error('no list')
  return list
}

function valuesOf(value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(valuesOf) : [String(value)]
}
