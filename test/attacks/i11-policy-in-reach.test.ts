import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { openHouse, serviceYaml, type House, type Server } from '../harness.ts'
import { rawRequest } from '../raw-request.ts'
import { attack, inside } from './attack.ts'

let house: House
let server: Server
let honest: Upstream
let thief: Upstream
let placeholder = ''
const key = `policy-${Math.random().toString(36).slice(2)}-value-of-a-test`

beforeAll(async () => {
  honest = await startUpstream(always(200, {}, 'honest'))
  thief = await startUpstream(always(200, {}, 'thief'))
  house = openHouse()
  server = await house.up()
  house.write('mine.yaml', serviceYaml('mine', honest.port))
  await house.expectDone(['service', 'add', 'mine.yaml'])
  await house.expectDone(['credential', 'add', 'mine', '--service', 'mine', '--stdin'], { input: key })
  await house.expectDone(['agent', 'add', 'ada'])
  await house.expectDone(['grant', 'add', '--agent', 'ada', '--credential', 'mine', '--allow', 'GET /allowed'])
  const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
    await house.expectDone(['session', 'issue', '--agent', 'ada', '--ttl', '12h', '--json']),
  )
  placeholder = issued.credentials[0]?.fields[0]?.text ?? ''
})
afterAll(async () => {
  await house.close()
  await honest.close()
  await thief.close()
})

const ask = (target: string) =>
  rawRequest({ port: server.port, target: `/s/mine${target}`, headers: { authorization: `Bearer ${placeholder}` } })

/** What a hijacked agent would leave in the folder that it works in, in every name that some tool reads. */
function plant(): void {
  const settings = `gateway: 0.0.0.0:1\nrootKeyFile: ${join(house.work, 'key')}\nstrictJournal: false\nnode: evil\n`
  const policy = 'agent: ada\ncredential: mine\nallow: ["*"]\n'
  for (const name of ['keyward.yaml', 'keyward.yml', '.keyward.yaml', '.keyward/keyward.yaml'])
    if (!name.includes('/')) writeFileSync(join(house.work, name), settings)
  for (const name of ['policy.yaml', 'grants.yaml', 'mine.grant.yaml']) writeFileSync(join(house.work, name), policy)
  for (const name of ['.env', '.env.local', '.envrc'])
    writeFileSync(join(house.work, name), `KEYWARD_HOME=${house.work}\nKEYWARD_GATEWAY=0.0.0.0:1\nKEYWARD_NODE=evil\n`)
  writeFileSync(join(house.work, 'mine.yaml'), serviceYaml('mine', thief.port))
}

attack(
  'I11',
  'files in the working folder change nothing: not at a signal, not at the next start',
  inside,
  async () => {
    expect((await ask('/allowed')).body.toString()).toBe('honest')
    expect((await ask('/other')).headers['keyward-error']).toBe('operation_not_allowed')
    const before = await house.expectDone(['config', 'show', '--json'])
    plant()
    expect(await house.expectDone(['config', 'show', '--json'])).toBe(before)
    expect((await ask('/allowed')).body.toString()).toBe('honest')
    // A server that re-read its files at a signal would do so now. This one ends, as at a hang-up.
    await server.kill('SIGHUP')
    server = await house.up()
    expect((await ask('/allowed')).body.toString()).toBe('honest')
    expect((await ask('/other')).headers['keyward-error']).toBe('operation_not_allowed')
    expect(thief.received().length).toBe(0)
  },
)

attack('I11', 'a home in the working folder is another home, and opens nothing of this one', inside, async () => {
  const own = join(house.work, 'own-home')
  const listed = await house.keyward(['credential', 'list', '--json'], { variables: { KEYWARD_HOME: own } })
  expect({ code: listed.code, out: listed.out }).toEqual({ code: 3, out: '' })
  expect(listed.err).toContain('No Keyward server answers.')
})
