import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAuthority } from '../../fakes/authority.ts'
import { startH2Upstream, type H2Upstream } from '../gateway/h2-upstream.ts'
import { openStage, type Stage } from '../gateway/harness.ts'
import { type Held } from '../gateway/requests.ts'
import { clients } from './stage.ts'

/** Clients that speak HTTP/2 inside the tunnel, each in its own way. */

let stage: Stage
let upstream: H2Upstream
let held: Held
let folder: string

beforeAll(async () => {
  if (!existsSync(join(clients, 'node_modules')))
    throw new Error('Run `npm ci --ignore-scripts` in test/clients first.')
  folder = mkdtempSync(join(tmpdir(), 'keyward-h2-'))
  stage = await openStage()
  const authority = await createAuthority()
  upstream = await startH2Upstream(
    (stream, got) => {
      const authorization = got.headers.find(([name]) => name === 'authorization')?.[1]
      stream.respond({ ':status': 200, 'x-echo': authorization })
      stream.end(`${authorization} ${got.body.toString()}`)
    },
    { leaf: await authority.issue(['h2.vendor.test']) },
  )
  held = await stage.hold({
    id: 'h2',
    endpoint: upstream.origin,
    hosts: ['h2.vendor.test'],
    trust: authority.certificate,
  })
  writeFileSync(join(folder, 'ca.pem'), stage.app.caCertificate)
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

const runs = (command: string, args: readonly string[], needle = ''): boolean => {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' })
  return status === 0 && stdout.includes(needle)
}
const python = process.env['KEYWARD_TEST_PYTHON'] ?? ''
/** `go build` takes longer than all the rest, so KEYWARD_TEST_GO names what it made of h2_go.go. */
const go = process.env['KEYWARD_TEST_GO'] ?? ''

/** `told`: how the client calls what it spoke, where it says so. One that the machine lacks is shown as skipped. */
const programs: readonly { name: string; command: string; args: readonly string[]; told: string; there: boolean }[] = [
  { name: 'curl', command: '/bin/sh', args: ['h2_curl.sh'], told: 'HTTP/2', there: runs('curl', ['-V'], 'HTTP2') },
  { name: 'undici', command: process.execPath, args: ['h2_undici.mjs'], told: '', there: true },
  { name: 'Go', command: go, args: [], told: 'HTTP/2.0', there: go !== '' },
  {
    name: 'httpx',
    command: python,
    args: ['h2_httpx.py'],
    told: 'HTTP/2',
    there: python !== '' && runs(python, ['-c', 'import httpx, h2']),
  },
]

for (const { name, command, args, told, there } of programs)
  test.skipIf(!there)(
    `${name} works over HTTP/2 and meets no key`,
    async () => {
      const login = await stage.login('triage')
      const placeholder = login.placeholder(held)
      const before = upstream.got.length
      const proxy = `http://keyward:${login.token}@127.0.0.1:${stage.port}`
      const child = spawn(command, args, {
        cwd: join(clients, 'programs'),
        env: {
          PATH: process.env['PATH'],
          HOME: folder,
          H2_HOST: held.host,
          H2_KEY: placeholder,
          H2_CA: join(folder, 'ca.pem'),
          SSL_CERT_FILE: join(folder, 'ca.pem'),
          https_proxy: proxy,
          HTTPS_PROXY: proxy,
        },
      })
      let said = ''
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
      child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
      await new Promise((done) => child.once('close', done))
      expect(said).toContain(`Bearer ${placeholder} hello`)
      expect(said).toContain(told)
      expect(said).not.toContain(held.secret())
      // HTTP/2 is offered to the service only where the request came over it.
      expect(upstream.got.length).toBe(before + 1)
      expect(upstream.got.at(-1)?.headers).toContainEqual(['authorization', `Bearer ${held.secret()}`])
    },
    60_000,
  )
