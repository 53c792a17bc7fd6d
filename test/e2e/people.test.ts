import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, openHouse, own, serviceYaml } from '../harness.ts'
import type { House, Server } from '../harness.ts'
import { rawRequest } from '../raw-request.ts'
import { always, startUpstream } from './gateway/upstream.ts'
import { startOpenIdProvider } from '../fakes/openid-provider.ts'
import type { OpenIdProvider } from '../fakes/openid-provider.ts'

/** People elsewhere: a server with TLS on a port, logins by code and by an OpenID provider, roles over groups. */

let house: House
let idp: OpenIdProvider
let url = ''
let server: Server
const authority = () => join(house.work, 'server.pem')
/** Each person's command line keeps its logins apart. */
const as = (person: string) => ({
  variables: {
    KEYWARD_SERVER: url,
    XDG_CONFIG_HOME: join(house.userHome, person),
    KEYWARD_HOME: join(house.folder, 'nowhere'),
  },
})

beforeAll(async () => {
  idp = await startOpenIdProvider({
    clientId: 'keyward-cli',
    accounts: new Map([['bert', { email: 'bert@example.test', verified: true }]]),
  })
  house = openHouse()
  const key = join(house.work, 'server.key')
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const names = ['-subj', '/CN=keyward.test', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync('openssl', [...request, ...names, '-keyout', key, '-out', authority()], { stdio: 'ignore' })
  for (const path of [key, authority()]) own(path)
  chmodSync(key, 0o600)
  const port = await freePort()
  url = `https://127.0.0.1:${port}`
  server = await house.up({
    args: ['--listen', `127.0.0.1:${port}`],
    variables: {
      KEYWARD_TLS_CERTIFICATE_FILE: authority(),
      KEYWARD_TLS_KEY_FILE: key,
      KEYWARD_OIDC_ISSUER: idp.issuer,
      KEYWARD_OIDC_CLIENT_ID: 'keyward-cli',
    },
  })
  await house.expectDone(['agent', 'add', 'ours', '--owner', 'team-a'])
  await house.expectDone(['agent', 'add', 'theirs', '--owner', 'team-b'])
  await house.expectDone(['person', 'add', 'anna@example.test', '--role', 'operator', '--group', 'team-a'])
  await house.expectDone(['person', 'add', 'bert@example.test', '--role', 'viewer'])
})
afterAll(async () => {
  await house.close()
  await idp.close()
})

async function logIn(person: string): Promise<string> {
  const { code } = JSON.parse(await house.expectDone(['person', 'code', `${person}@example.test`, '--json']))
  await house.expectDone(['login', '--ca-file', authority(), '--code-stdin'], { ...as(person), input: `${code}\n` })
  return code
}

test('with a code a person logs in, sees and changes what is his, and nothing else', async () => {
  const code = await logIn('anna')
  const again = await house.keyward(['login', '--ca-file', authority(), '--code-stdin'], {
    ...as('thief'),
    input: code,
  })
  expect(again).toMatchObject({ code: 1, err: expect.stringContaining('The login is not valid') })
  expect(JSON.parse(await house.expectDone(['whoami', '--json'], as('anna')))).toMatchObject({
    name: 'anna@example.test',
    role: 'operator',
    groups: ['team-a'],
    owner: false,
  })
  const seen: { name: string }[] = JSON.parse(await house.expectDone(['agent', 'list', '--json'], as('anna')))
  expect(seen.map(({ name }) => name)).toEqual(['ours'])
  await house.expectDone(['agent', 'suspend', 'ours'], as('anna'))
  for (const refused of [
    ['agent', 'suspend', 'theirs'],
    ['person', 'list'],
    ['journal', 'tail'],
  ])
    expect(await house.keyward(refused, as('anna')), refused.join(' ')).toMatchObject({
      code: 1,
      err: expect.stringContaining('does not reach that far'),
    })
  expect(await house.expectDone(['journal', 'tail', '--lines', '50'])).toMatch(
    /agent\.suspend actor=person:anna@example\.test/,
  )
})

test('by the OpenID provider a person logs in without anything typed', async () => {
  const outcome = await house.keyward(['login', '--ca-file', authority()], {
    ...as('bert'),
    onStart(child) {
      let shown = ''
      child.stderr?.on('data', (chunk: Buffer) => {
        const before = shown
        shown += chunk.toString()
        const address = /^ {2}(http\S+)$/m
        if (!address.test(before)) void idp.visit(address.exec(shown)?.[1] ?? '', 'bert')
      })
    },
  })
  expect(outcome).toMatchObject({ code: 0, out: expect.stringContaining('You are bert@example.test, viewer') })
  expect((await house.keyward(['agent', 'suspend', 'theirs'], as('bert'))).err).toContain('role operator')
})

test('a person who was removed is out within a second', async () => {
  await logIn('bert')
  await house.expectDone(['whoami'], as('bert'))
  await house.expectDone(['person', 'remove', 'bert@example.test'])
  expect(await house.keyward(['whoami'], as('bert'))).toMatchObject({ code: 1, err: expect.stringContaining('login') })
})

test('whoever lets an agent begin does not accept what it asks; another approver does', async () => {
  const upstream = await startUpstream(always(200, {}, 'done'))
  house.write('mine.yaml', serviceYaml('mine', upstream.port))
  await house.expectDone(['service', 'add', 'mine.yaml'])
  const key = randomBytes(24).toString('hex')
  await house.expectDone(['credential', 'add', 'mine', '--service', 'mine', '--owner', 'team-a', '--stdin'], {
    input: key,
  })
  await house.expectDone(['agent', 'resume', 'ours'])
  await house.expectDone(
    ['grant', 'add', '--agent', 'ours', '--credential', 'mine', '--allow', '*', '--approve', 'always'],
    as('anna'),
  )
  await house.expectDone(['person', 'add', 'cleo@example.test', '--role', 'approver', '--group', 'team-a'])
  await logIn('cleo')
  const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
    await house.expectDone(['session', 'issue', '--agent', 'ours', '--json'], as('anna')),
  )
  const held = rawRequest({
    port: server.port,
    method: 'POST',
    target: '/s/mine/orders',
    headers: { authorization: `Bearer ${issued.credentials[0]?.fields[0]?.text ?? ''}` },
    body: '{}',
  })
  let asked: { id: string }[] = []
  for (let tries = 0; tries < 50 && asked.length === 0; tries += 1)
    // oxlint-disable-next-line no-await-in-loop -- until the request has come that far
    asked = JSON.parse(await house.expectDone(['approval', 'list', '--json'], as('cleo')))
  const id = asked[0]?.id ?? ''
  expect(await house.keyward(['approval', 'accept', id], as('anna'))).toMatchObject({
    code: 1,
    err: expect.stringContaining('made himself'),
  })
  await house.expectDone(['approval', 'accept', id], as('cleo'))
  expect((await held).status).toBe(200)
  await upstream.close()
})

test('an agent that is led to the control API is refused, and the journal says so', async () => {
  const { token } = JSON.parse(await house.expectDone(['session', 'issue', '--agent', 'theirs', '--json']))
  execFileSync('curl', ['--silent', '--cacert', authority(), '-H', `authorization: Bearer ${token}`, `${url}/agents`])
  expect(await house.expectDone(['journal', 'tail', '--lines', '5'])).toMatch(/refusal.*agent_refused/)
})

test('no login, code or token was printed or kept but for the one who was meant', async () => {
  const codes = house.outputs.filter(({ command }) => command.includes('person code'))
  expect(codes.length).toBeGreaterThan(0)
  for (const { command, bytes } of house.outputs)
    if (!command.includes('person code')) expect(bytes.toString(), command).not.toMatch(/kwl_/)
})
