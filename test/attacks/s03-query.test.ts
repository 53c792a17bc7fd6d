import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { findLeaks } from '../e2e/canary/secrets.ts'
import { madeUp } from '../e2e/gateway/harness.ts'
import { header } from '../e2e/gateway/wire.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces, type Placed } from './place.ts'

/** Says where it was asked, as redirects, canonical links and error pages do; breaks off where it is told to. */
const places = usePlaces((request, response, { target }) => {
  if (target.startsWith('/break')) return void request.socket.destroy()
  response.writeHead(302, { location: target, link: `<${target}>; rel="canonical"`, refresh: `0; url=${target}` })
  response.end(`<a href="${target}">here</a> ${JSON.stringify({ url: target })}`)
})

const inQuery = () => places.place({ inject: [{ kind: 'query', name: 'key' }] })
const target = (path: string, { login, held }: Placed) => `${path}?x=1&key=${login.placeholder(held)}`

function journalBytes(): Buffer {
  const folder = join(places.stage.app.journalDirectory, 'test')
  return Buffer.concat(readdirSync(folder).map((name) => readFileSync(join(folder, name))))
}

attack('S3', 'a key in the query is in no answer, error, log or journal', fronts, async (front) => {
  const where = await inQuery()
  const secret = where.held.secret()
  const placeholder = where.login.placeholder(where.held)
  const answer = await places.ask(front, where, { target: target('/v1/list', where), headers: [] })
  expect(answer.status).toBe(302)
  expect(places.upstream.got.at(-1)?.target).toContain(encodeURIComponent(secret).replaceAll('%3A', ':'))
  expect(findLeaks(Buffer.from(answer.rawHead + answer.body.toString()), { secret })).toEqual([])
  expect(header(answer, 'location')).toContain(placeholder)

  const broken = await places.ask(front, where, { target: target('/break', where), headers: [] })
  expect(broken.status).toBe(502)
  const gone = await places.place({ inject: [{ kind: 'query', name: 'key' }], endpoint: 'http://127.0.0.1:1' })
  const unreachable = await places.ask(front, gone, { target: target('/v1/list', gone), headers: [] })
  expect(unreachable.status).toBe(502)
  for (const [one, of] of [
    [broken, where],
    [unreachable, gone],
  ] as const)
    expect(findLeaks(Buffer.from(one.rawHead + one.body.toString()), { secret: of.held.secret() })).toEqual([])

  await places.stage.journaled({ kind: 'outcome', agent: gone.agent })
  const written = journalBytes()
  expect(findLeaks(written, { secret, gone: gone.held.secret() })).toEqual([])
  for (const { login, held } of [where, gone]) expect(written.includes(login.placeholder(held))).toBe(false)
  expect(places.stage.errors).toEqual([])
})

attack('S3', 'a placeholder in Referer or in a query of another place stays one', fronts, async (front) => {
  const where = await inQuery()
  const placeholder = where.login.placeholder(where.held)
  const noise = madeUp()
  await places.ask(front, where, {
    target: target('/v1/list', where),
    headers: [
      ['Referer', `https://page.example.test/?key=${placeholder}&n=${noise}`],
      ['X-Original', placeholder],
    ],
  })
  const got = places.upstream.got.at(-1)
  expect(got?.headers.referer).toBe(`https://page.example.test/?key=${placeholder}&n=${noise}`)
  expect(got?.headers['x-original']).toBe(placeholder)
})
