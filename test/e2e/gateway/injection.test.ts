import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InjectionRule, Service } from '../../../src/services/service.ts'
import { openStage, type Stage } from './harness.ts'
import { codeOf, doors, type Held, type Login } from './requests.ts'
import { startUpstream, type Got, type Upstream } from './upstream.ts'

/** Each way of putting a credential in, on the wire: once, in its place, and the placeholder nowhere. */

interface Case {
  readonly name: string
  readonly id: string
  readonly inject: readonly InjectionRule[]
  readonly fields?: Service['fields']
  readonly values?: Readonly<Record<string, string>>
  /** What the agent writes, given a placeholder for the field `key`. */
  writes(placeholder: string): { readonly target?: string; readonly headers?: readonly (readonly [string, string])[] }
  /** What the service must get. */
  gets(held: Held): { readonly target?: string; readonly header?: readonly [name: string, value: string] }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

const cases: readonly Case[] = [
  {
    name: 'bearer',
    id: 'bearer',
    inject: [{ kind: 'bearer' }],
    writes: (p) => ({ headers: [['authorization', `bearer  ${p}`]] }),
    gets: (held) => ({ header: ['authorization', `Bearer ${held.secret()}`] }),
  },
  {
    name: 'header',
    id: 'header',
    inject: [{ kind: 'header', name: 'X-Api-Key' }],
    writes: (p) => ({ headers: [['X-API-KEY', p]] }),
    gets: (held) => ({ header: ['x-api-key', held.secret()] }),
  },
  {
    name: 'header with a template',
    id: 'templated',
    inject: [{ kind: 'header', name: 'authorization', template: 'token {key}' }],
    writes: (p) => ({ headers: [['Authorization', `Token ${p}`]] }),
    gets: (held) => ({ header: ['authorization', `token ${held.secret()}`] }),
  },
  {
    name: 'Basic, the placeholder as password',
    id: 'basic',
    inject: [{ kind: 'basic', user: 'x-access-token' }],
    writes: (p) => ({ headers: [['Authorization', `Basic ${base64(`anyone:${p}`)}`]] }),
    gets: (held) => ({ header: ['authorization', `Basic ${base64(`x-access-token:${held.secret()}`)}`] }),
  },
  {
    name: 'Basic, the placeholder as user',
    id: 'basic-user',
    inject: [{ kind: 'basic', user: 'x-access-token' }],
    writes: (p) => ({ headers: [['Authorization', `Basic ${base64(`${p}:`)}`]] }),
    gets: (held) => ({ header: ['authorization', `Basic ${base64(`x-access-token:${held.secret()}`)}`] }),
  },
  {
    name: 'Basic of two fields',
    id: 'basic-pair',
    inject: [{ kind: 'basic', userField: 'account', passwordField: 'key' }],
    fields: { account: 'public', key: 'secret' },
    values: { account: 'AC0001' },
    writes: (p) => ({ headers: [['Authorization', `Basic ${base64(`whatever:${p}`)}`]] }),
    gets: (held) => ({ header: ['authorization', `Basic ${base64(`AC0001:${held.secret()}`)}`] }),
  },
  {
    name: 'query',
    id: 'query',
    inject: [{ kind: 'query', name: 'key' }],
    writes: (p) => ({ target: `/v1/a?x=1&key=${p}&y=%2F` }),
    gets: (held) => ({ target: `/v1/a?x=1&key=${encodeURIComponent(held.secret()).replaceAll('%3A', ':')}&y=%2F` }),
  },
  {
    name: 'path',
    id: 'path',
    inject: [{ kind: 'path', template: '/bot{key}' }],
    writes: (p) => ({ target: `/bot${p}/send?x=1` }),
    gets: (held) => ({ target: `/bot${encodeURIComponent(held.secret())}/send?x=1` }),
  },
]

let stage: Stage
let upstream: Upstream
let login: Login
const held = new Map<string, Held>()

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((_request, response) => void response.end('ok'))
  for (const one of cases) {
    const { id, inject, fields, values } = one
    held.set(
      id,
      await stage.hold({
        id,
        inject,
        endpoint: upstream.origin,
        ...(fields === undefined ? {} : { fields }),
        ...(values === undefined ? {} : { values }),
      }),
    )
  }
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

function of(id: string): Held {
  const found = held.get(id)
  if (found === undefined) throw new Error(id)
  return found
}

function expectPlaced(got: Got | undefined, one: Case, target: string): void {
  const want = one.gets(of(one.id))
  expect(got?.target).toBe(want.target ?? target)
  if (want.header === undefined) return
  const [name, value] = want.header
  const values = (got?.rawHeaders ?? []).flatMap((text, index, all) =>
    index % 2 === 0 && text.toLowerCase().replaceAll('_', '-') === name ? [all[index + 1]] : [],
  )
  expect(values).toEqual([value])
}

describe.each(doors)('%s', (door) => {
  test.each(cases)('$name', async (one) => {
    const placeholder = login.placeholder(of(one.id))
    const before = upstream.received().length
    const writes = one.writes(placeholder)
    const answer = await stage.request({ door, held: of(one.id), login, target: '/v1/a', ...writes })
    expect(answer.status).toBe(200)
    expectPlaced(upstream.got.at(-1), one, '/v1/a')
    const sent = upstream.received().subarray(before).toString('latin1')
    expect(sent).not.toContain(placeholder)
    expect(sent).not.toContain(login.token)
    const written = JSON.stringify([
      await stage.journaled({ kind: 'intent' }),
      await stage.journaled({ kind: 'outcome' }),
    ])
    expect(written).not.toContain(placeholder)
    expect(written).not.toContain(of(one.id).secret())
  })

  test('the fields of another credential do not open this one', async () => {
    for (const one of cases) {
      const stranger = cases.find((candidate) => candidate.id !== one.id)
      if (stranger === undefined) continue
      const before = upstream.received().length
      const answer = await stage.request({
        door,
        held: of(one.id),
        login,
        target: '/v1/a',
        ...one.writes(login.placeholder(of(stranger.id))),
      })
      expect(codeOf(answer)).toBe('placeholder_elsewhere')
      expect(upstream.received().length).toBe(before)
    }
  })
})

describe.each(['absolute', 'tunnel'] as const)('%s', (door) => {
  test.each(cases)('$name: the session alone is enough where one credential fits', async (one) => {
    const answer = await stage.request({ door, held: of(one.id), login, target: '/v1/a' })
    expect(answer.status).toBe(200)
    const got = upstream.got.at(-1)
    const want = one.gets(of(one.id))
    if (want.header !== undefined) expectPlaced(got, one, '/v1/a')
    else expect(got?.target).toContain(encodeURIComponent(of(one.id).secret()).replaceAll('%3A', ':'))
  })
})
