import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority, type Authority } from '../../fakes/authority.ts'
import { eventually, openStage, type Stage } from '../gateway/harness.ts'
import { type Held } from '../gateway/requests.ts'
import { clients } from './stage.ts'

/** gRPC as its own library speaks it, on both ends, through the proxy that it finds in its environment. */

let stage: Stage
let authority: Authority
let folder: string
const servers: ChildProcess[] = []

beforeAll(async () => {
  if (!existsSync(join(clients, 'node_modules')))
    throw new Error('Run `npm ci --ignore-scripts` in test/clients first.')
  folder = mkdtempSync(join(tmpdir(), 'keyward-grpc-'))
  stage = await openStage()
  authority = await createAuthority()
  writeFileSync(join(folder, 'ca.pem'), stage.app.caCertificate)
})

afterAll(async () => {
  for (const server of servers) server.kill()
  await stage.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Called {
  readonly code: number
  readonly details?: string
  readonly messages: readonly string[]
  readonly head?: string
  readonly trailer?: string
  readonly refused?: string
}

interface Server {
  readonly held: Held
  said(): string
}

async function serve(id: string, compression: string | null): Promise<Server> {
  const host = `${id}.vendor.test`
  const leaf = await authority.issue([host])
  const paths = [join(folder, `${id}.key`), join(folder, `${id}.pem`)] as const
  writeFileSync(paths[0], leaf.key)
  writeFileSync(paths[1], leaf.cert)
  const script = join(clients, 'programs/grpc_server.mjs')
  const server = spawn(process.execPath, [script, ...paths, ...(compression === null ? [] : [compression])])
  servers.push(server)
  let said = ''
  server.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  server.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await eventually(() => /port \d+/.test(said))
  const held = await stage.hold({
    id,
    endpoint: `https://127.0.0.1:${/port (\d+)/.exec(said)?.[1]}`,
    hosts: [host],
    trust: authority.certificate,
    allow: ['POST /test.Echo/*'],
    deny: ['POST /test.Echo/Denied'],
  })
  return { held, said: () => said }
}

async function call(held: Held): Promise<{ readonly results: Readonly<Record<string, Called>>; placeholder: string }> {
  const login = await stage.login('triage')
  const placeholder = login.placeholder(held)
  const client = spawn(process.execPath, [join(clients, 'programs/grpc_client.mjs')], {
    env: {
      PATH: process.env['PATH'],
      GRPC_HOST: held.host,
      GRPC_CA: join(folder, 'ca.pem'),
      GRPC_KEY: placeholder,
      grpc_proxy: `http://keyward:${login.token}@127.0.0.1:${stage.port}`,
    },
  })
  let said = ''
  let complained = ''
  client.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  client.stderr.on('data', (chunk: Buffer) => (complained += chunk.toString()))
  await new Promise((done) => client.once('close', done))
  if (said === '') throw new Error(complained)
  expect(said.includes(held.secret())).toBe(false)
  return { results: JSON.parse(said), placeholder }
}

describe.each([null, 'gzip', 'deflate'])('a server that compresses with %s', (compression) => {
  test('every kind of call works and shows no secret', async () => {
    const { held, said } = await serve(`grpc-${servers.length}`, compression)
    const { results, placeholder } = await call(held)
    const bearer = `Bearer ${placeholder}`
    const masked = `Bearer ${'x'.repeat(held.secret().length)}`
    expect(results['unary']).toMatchObject({
      code: 0,
      messages: [`${masked} hello`],
      head: bearer,
      trailer: bearer,
    })
    expect(results['server']).toMatchObject({
      code: 0,
      messages: [0, 1, 2, 3, 4].map((i) => `${i} ${masked}`),
      trailer: bearer,
    })
    expect(results['client']).toMatchObject({ code: 0, messages: [`a,b,c ${masked}`] })
    expect(results['both']).toMatchObject({ code: 0, messages: ['one', 'two', 'three'].map((s) => `${s} ${masked}`) })
    expect(results['fail']).toMatchObject({ code: 9, details: `not with ${bearer}`, trailer: bearer })
    expect(results['denied']).toMatchObject({ code: 7, refused: 'operation_denied', messages: [] })
    expect(results['denied']?.details).toContain('operation_denied: A grant denies this operation.')
    expect(results['deadline']).toMatchObject({ code: 4 })
    expect(results['cancelled']).toMatchObject({ code: 1 })
    await eventually(() => said().split('cancelled').length === 3)
    await stage.journaled({ kind: 'refusal', code: 'operation_denied' })
  })
})
