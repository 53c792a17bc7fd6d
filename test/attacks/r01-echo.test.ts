import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect } from 'vitest'
import { injectors } from '../../src/injectors/index.ts'
import { injectCredential } from '../../src/injectors/placement.ts'
import { madeUp, type HeldOptions } from '../e2e/gateway/harness.ts'
import { type Held } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { allOf, expectNoPiece, openScene, type Scene } from './scene.ts'

/** R1, R5, R7: what was put into the request comes back as the service read it. */

/** Bytes that half of the decoys have in common with the real secret. */
const SHARED = 7

/** For each way of injecting, what a service could send back of it: all texts that were on the wire. */
const ways: Readonly<Record<string, Pick<HeldOptions, 'inject' | 'fields' | 'values'>>> = {
  basic: {
    inject: [{ kind: 'basic', userField: 'account', passwordField: 'key' }],
    fields: { account: 'secret', key: 'secret' },
  },
  bearer: { inject: [{ kind: 'bearer' }] },
  body: { inject: [{ kind: 'body', pointer: '/auth/key' }] },
  header: { inject: [{ kind: 'header', name: 'x-signed', template: 'v1={key};end' }] },
  path: { inject: [{ kind: 'path', template: '/bot{key}' }] },
  query: { inject: [{ kind: 'query', name: 'key' }] },
  subprotocol: {
    inject: [{ kind: 'subprotocol', prefix: 'x-key.' }],
    values: { key: randomBytes(20).toString('base64url') },
  },
}

let scene: Scene
const held = new Map<string, Held>()
beforeAll(async () => {
  scene = await openScene()
  for (const [kind, options] of Object.entries(ways))
    held.set(kind, await scene.stage.hold({ id: `by-${kind}`, endpoint: scene.upstream.origin, ...options }))
})
afterAll(() => scene.close())

attack('R1', 'every header and the body of the request, as text and as JSON', fronts, async (front) => {
  scene.answer((request, response, got) => {
    // As httpbin does with /headers and /anything.
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ headers: got.headers, raw: got.rawHeaders, url: got.target, text: String(got.body) }))
  })
  const answer = await scene.ask(front, { method: 'POST', target: '/anything?a=1', body: 'hello' })
  expect(answer.status).toBe(200)
  expect(scene.upstream.got.at(-1)?.headers.authorization).toBe(`Bearer ${scene.echo.secret()}`)
  expect(answer.body.toString()).toContain('"url":"/anything?a=1"')
  // The agent reads its own placeholder in the place of the key.
  expect(answer.body.toString()).toContain(`"authorization":"Bearer ${scene.login.placeholder(scene.echo)}"`)
  expectNoPiece(allOf(answer), scene.echo.secret())
})

attack('R7', 'a thousand look-alikes before the real one, and the real one a hundred times', fronts, async (front) => {
  const secret = scene.echo.secret()
  const decoys = Array.from({ length: 1_000 }, (_, index) =>
    // Half of them begin as the real one does, so that a search that gives up too early is led astray.
    index % 2 === 0 ? madeUp() : secret.slice(0, SHARED) + madeUp().slice(SHARED),
  )
  scene.answer((_request, response) => response.end(`${decoys.join(' ')} <${secret}> ${`${secret},`.repeat(100)}`))
  const text = (await scene.ask(front)).body.toString()
  const placeholder = scene.login.placeholder(scene.echo)
  expect(text).toBe(`${decoys.join(' ')} <${placeholder}> ${`${placeholder},`.repeat(100)}`)
})

/** What is signed with shows nothing of the key; its echo is tried with P9. */
const shown = injectors.filter(({ prepare, samples }) => prepare(samples[0]).proof === null)

for (const { kind } of shown)
  attack('R5', `all that "${kind}" puts on the wire, decoded and encoded anew`, fronts, async (front) => {
    const service = held.get(kind)
    const way = ways[kind]
    const rule = way?.inject?.[0]
    if (service === undefined || rule === undefined) throw new Error(`Nothing is tried for ${kind}.`)
    const login = await scene.stage.login('triage')
    const fields = Object.keys(way?.fields ?? { key: 'secret' })
    const placeholders = Object.fromEntries(fields.map((field) => [field, login.placeholder(service, field)]))
    const isBody = kind === 'body'
    const method = isBody ? 'POST' : 'GET'
    const typed = isBody ? [['content-type', 'application/json'] as const] : []
    // The one half of Basic that proves the session; the other is filled in like it.
    const presented = injectCredential(
      {
        head: { method, scheme: 'https', host: service.host, port: 443, target: '/me', headers: typed },
        body: isBody ? Buffer.from('{"auth":{"key":""}}') : null,
      },
      rule,
      kind === 'basic' ? { account: 'anybody', key: placeholders['key'] ?? '' } : placeholders,
    )
    scene.answer((_request, response, got) => {
      const wire = [got.target, ...got.rawHeaders, got.body.toString()]
      const composite = /^Basic (.*)$/.exec(got.headers.authorization ?? '')?.[1]
      if (composite !== undefined) wire.push(composite.replace(/=+$/, ''), Buffer.from(composite, 'base64').toString())
      const again = wire.flatMap((text) => [
        text,
        encodeURIComponent(text),
        JSON.stringify(text),
        Buffer.from(text).toString('base64'),
        Buffer.from(text).toString('base64url'),
        Buffer.from(text).toString('hex'),
      ])
      response.end(again.join('\n'))
    })
    const answer = await scene.stage.request({
      ...front,
      held: service,
      login,
      method,
      target: presented.head.target,
      headers: presented.head.headers,
      ...(presented.body === null ? {} : { body: presented.body }),
    })
    expect(answer.status).toBe(200)
    const got = scene.upstream.got.at(-1)
    const sent = `${decodeURIComponent(got?.target ?? '')} ${got?.rawHeaders.join(' ')} ${got?.body.toString()} ${basicOf(got?.headers.authorization)}`
    for (const field of fields) expect(sent, `${field} has reached the service`).toContain(service.secret(field))
    const text = allOf(answer)
    const readings = [
      text,
      decoded(text),
      ...[...text.matchAll(/[A-Za-z0-9+/_-]{16,}/g)].flatMap(([run]) =>
        [0, 1, 2, 3].map((skip) => decoded(Buffer.from(run.slice(skip), 'base64').toString('latin1'))),
      ),
      ...[...text.matchAll(/[0-9a-f]{16,}/g)].map(([run]) => decoded(Buffer.from(run, 'hex').toString('latin1'))),
    ]
    for (const reading of readings)
      for (const field of fields) expectNoPiece(reading, service.secret(field), `${kind} ${field}`)
  })

function decoded(text: string): string {
  return text.replaceAll(/%([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function basicOf(value: string | undefined): string {
  return value?.startsWith('Basic ') === true ? Buffer.from(value.slice(6), 'base64').toString() : ''
}
