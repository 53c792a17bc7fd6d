import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { proxyCredentials, type Held, type Login } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { ask, bare, outcomeOf, tunnelled } from './asking.ts'
import { openInternet, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let api: Held
let login: Login

const HOST = 'api.example.test'

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  api = await stage.hold({ id: 'api', hosts: [HOST] })
  login = await stage.login('triage')
  for (const name of ['metadata.google.internal', 'instance-data', 'metadata'])
    stage.names.set(name, ['169.254.169.254'])
})

afterAll(async () => {
  await stage.close()
  internet.close()
})

/** As they would stand in a URL. */
const spellings = [
  '169.254.169.254',
  '169.254.169.254.',
  '0xA9FEA9FE',
  '0xa9.0xfe.0xa9.0xfe',
  '2852039166',
  '0251.0376.0251.0376',
  '0251.254.169.254',
  '169.254.43518',
  '169.16689662',
  '[::ffff:169.254.169.254]',
  '[::ffff:a9fe:a9fe]',
  '[0:0:0:0:0:ffff:a9fe:a9fe]',
  '[::169.254.169.254]',
  '[fd00:ec2::254]',
  '[fd00:0ec2:0:0:0:0:0:254]',
  '[64:ff9b::a9fe:a9fe]',
  '[64:ff9b:1::a9fe:a9fe]',
  '[2002:a9fe:a9fe::]',
  '[2001:0:a9fe:a9fe::]',
  '[fd20:ce::254]',
  '[fe80::a9fe:a9fe]',
  '[fe80::1%25eth0]',
  '169.254.170.2',
  '169.254.170.23',
  '168.63.129.16',
  '100.100.100.200',
  '192.0.0.192',
  'metadata.google.internal',
  'metadata.google.internal.',
  'METADATA.google.internal',
  'metadata',
  'instance-data',
  '0.0.0.0',
  '0',
  '[::]',
  '169。254。169。254',
  '①⑥⑨.254.169.254',
  '169.254.169.254%00.example.test',
]

/** What a name could resolve to. */
const addresses = [
  '169.254.169.254',
  '169.254.170.2',
  '168.63.129.16',
  '100.100.100.200',
  '192.0.0.192',
  '0.0.0.0',
  '::',
  '::ffff:169.254.169.254',
  '::ffff:a9fe:a9fe',
  'fd00:ec2::254',
  'fd20:ce::254',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::a9fe:a9fe',
  '2002:a9fe:a9fe::',
  '2001:0:a9fe:a9fe::',
  'fe80::1',
  'fe80::1%eth0',
]

const refusals = [
  'host_refused',
  'request_malformed',
  'host_mismatch',
  'port_refused',
  'upstream_unreachable',
  'host_not_listed',
  // Over HTTP/2 another authority is a request to a proxy, which wants to know whose.
  'token_missing',
]

attack('D5', 'no spelling of a metadata address is dialled', fronts, async (front) => {
  for (const spelling of spellings) {
    const outcomes: string[] = []
    if (front.door === 'absolute') {
      const answer = await bare(
        stage,
        `GET http://${spelling}/latest/meta-data/ HTTP/1.1\r\nHost: ${spelling}\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\n\r\n`,
      )
      outcomes.push(answer === null ? 'closed' : outcomeOf(answer))
    } else if (front.door === 'tunnel') {
      for (const port of [80, 443]) outcomes.push(await tunnelled(stage, `${spelling}:${port}`, login))
    } else {
      const headers = [['Host', spelling] as const, ['Authorization', `Bearer ${login.placeholder(api)}`] as const]
      outcomes.push(await ask(stage, front, { held: api, login, headers }).then(outcomeOf, () => 'closed'))
    }
    for (const outcome of outcomes) expect([...refusals, 'closed'], `${spelling}: ${outcome}`).toContain(outcome)
  }
  expect(internet.dialledBeside(stage.port)).toEqual([])
})

attack('D5', 'no name that resolves to a metadata address is dialled', fronts, async (front) => {
  for (const address of addresses) {
    stage.names.set(HOST, [address])
    stage.names.set('innocent.example.net', [address])
    if (front.door !== 'absolute')
      expect(outcomeOf(await ask(stage, front, { held: api, login })), address).toBe('host_refused')
    if (front.door === 'tunnel')
      for (const port of [80, 443])
        expect(await tunnelled(stage, `innocent.example.net:${port}`, login), address).toBe('host_refused')
    if (front.door === 'absolute')
      expect(
        outcomeOf(
          await stage.request({
            door: 'absolute',
            protocol: front.protocol,
            held: { id: 'x', host: 'innocent.example.net' },
            login,
          }),
        ),
        address,
      ).toBe('host_refused')
  }
  expect(internet.dialledBeside(stage.port)).toEqual([])
})
