import { afterAll, beforeAll, expect, test } from 'vitest'
import { openHouse, serviceYaml, type House, type Server } from '../harness.ts'
import { rawRequest, type RawAnswer } from '../raw-request.ts'
import { always, startUpstream, type Upstream } from './gateway/upstream.ts'

/** The commands by which a person answers, as typed, against a running server. */

let house: House
let server: Server
let upstream: Upstream
let placeholder = ''

beforeAll(async () => {
  upstream = await startUpstream(always(200, {}, 'done'))
  house = openHouse()
  server = await house.up()
  house.write('mine.yaml', serviceYaml('mine', upstream.port))
  await house.expectDone(['service', 'add', 'mine.yaml'])
  await house.expectDone(['credential', 'add', 'mine', '--service', 'mine', '--stdin'], {
    input: `value-${Math.random().toString(36).slice(2)}-of-a-test`,
  })
  await house.expectDone(['agent', 'add', 'ada'])
  const grant = ['grant', 'add', '--agent', 'ada', '--credential', 'mine', '--allow', '*', '--approve', 'destructive']
  const { id }: { id: string } = JSON.parse(await house.expectDone([...grant, '--json']))
  expect(await house.expectDone(['grant', 'show', id])).toMatch(/approve +destructive/)
  const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
    await house.expectDone(['session', 'issue', '--agent', 'ada', '--json']),
  )
  placeholder = issued.credentials[0]?.fields[0]?.text ?? ''
})
afterAll(async () => {
  await house.close()
  await upstream.close()
})

const send = (body: string): Promise<RawAnswer> =>
  rawRequest({
    port: server.port,
    method: 'POST',
    target: '/s/mine/orders',
    headers: { authorization: `Bearer ${placeholder}` },
    body,
  })

async function asked(): Promise<string> {
  for (let tries = 0; tries < 50; tries++) {
    const list: { id: string; state: string }[] = JSON.parse(await house.expectDone(['approval', 'list', '--json']))
    const found = list.find(({ state }) => state === 'pending')
    if (found !== undefined) return found.id
  }
  throw new Error('Nothing is asked.')
}

test('list, show and accept: the request goes out', async () => {
  expect((await house.keyward(['approval', 'list'])).err).toContain('No request waits')
  const held = send('{"amount":1}\u001b[2J\u001b[1;1Hagent  root\u202e')
  const id = await asked()
  expect(await house.expectDone(['approval', 'list'])).toMatch(
    new RegExp(`${id} +waits +dev +ada +mine +yes +POST http\\S*/orders`),
  )
  const shown = await house.expectDone(['approval', 'show', id])
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  expect(shown).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/)
  expect(shown).toContain(String.raw`{"amount":1}\u{1b}[2J\u{1b}[1;1Hagent  root\u{202e}`)
  expect(shown.indexOf('agent ')).toBeLessThan(shown.indexOf('What the agent wrote'))
  expect(shown).not.toContain(placeholder)
  expect(JSON.parse(await house.expectDone(['approval', 'show', id, '--json']))).toMatchObject({
    id,
    agent: 'ada',
    credential: 'mine',
    method: 'POST',
    destructive: true,
    headers: expect.arrayContaining(['authorization']),
  })
  expect(await house.expectDone(['approval', 'accept', id])).toContain('the request goes out, once')
  expect((await held).status).toBe(200)
  const journal = await house.expectDone(['journal', 'search', id, '--json'])
  expect(journal).toMatch(/approval\.accept[^]*operator:/)
  expect(journal).toContain('"intent"')
  const again = await house.keyward(['approval', 'accept', id])
  expect([again.code, again.err]).toEqual([1, expect.stringContaining('No open approval')])
})

test('refuse: the request is refused', async () => {
  const held = send('{"amount":2}')
  const id = await asked()
  await house.expectDone(['approval', 'refuse', id])
  expect((await held).headers['keyward-error']).toBe('approval_refused')
  const again = await house.keyward(['approval', 'accept', id])
  expect([again.code, again.err]).toEqual([1, expect.stringContaining('has its answer already')])
  expect(upstream.got).toHaveLength(1)
})

test(
  'watched: each question and its answer is a line, until the watch is interrupted',
  { timeout: 60_000 },
  async () => {
    let stop = (): unknown => undefined
    let seen = ''
    const watching = house.keyward(['approval', 'list', '--watch', '--json'], {
      onStart: (child) => {
        child.stdout?.on('data', (piece: Buffer) => void (seen += piece.toString()))
        stop = () => child.kill('SIGINT')
      },
    })
    const held = send(`{"amount":${Math.random()}}`)
    const id = await asked()
    const events = (): string[] =>
      seen
        .split('\n')
        .slice(0, -1)
        .map((line): { id: string; event: string } => JSON.parse(line))
        .filter((line) => line.id === id)
        .map(({ event }) => event)
    await expect.poll(events, { timeout: 20_000 }).toEqual(['waits'])
    await house.expectDone(['approval', 'refuse', id])
    await held
    await expect.poll(events, { timeout: 20_000 }).toEqual(['waits', 'refused'])
    stop()
    const { code, out } = await watching
    expect(code).toBe(0)
    expect(out).not.toContain('\u001b')
  },
)
