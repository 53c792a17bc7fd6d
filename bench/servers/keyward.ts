import { randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openApp } from '../../src/app.ts'
import { Secret } from '../../src/core/secret.ts'

/** Keyward with everything on: vault, journal, grants, scrubbing of every secret, a limit that is counted. */
const folder = mkdtempSync(join(tmpdir(), 'keyward-bench-'))
const home = join(folder, 'home')
const actor = 'bench'
const app = await openApp({
  config: {
    home,
    rootKeyFile: `${home}.root-key`,
    passphraseFile: null,
    gateway: { host: '127.0.0.1', port: 0 },
    node: 'bench',
    strictJournal: false,
  },
  ephemeral: false,
  askPassphrase: null,
  onError(error) {
    console.error(error)
    return 'bench'
  },
})
const definition = {
  id: 'bench',
  name: 'Bench',
  hosts: ['bench.example.test'],
  endpoint: process.argv[2] ?? '',
  fields: { key: 'secret' },
  inject: [{ kind: 'bearer' }],
  variables: { fields: { key: ['BENCH_API_KEY'] } },
  operations: [{ name: 'chat.completions', match: 'POST /v1/chat/completions' }],
  checked: 'documented',
  source: 'bench',
}
await app.records.commit([{ table: 'service', id: 'bench', body: { definition, createdAt: Date.now() } }], {
  actor,
  action: 'service.add',
})
const credential = await app.credentials.add(
  {
    name: 'bench',
    environment: 'dev',
    service: 'bench',
    fields: { key: new Secret('bench', Buffer.from(randomBytes(30).toString('base64url'))) },
    owner: null,
    sensitivity: 'low',
  },
  actor,
)
const agent = await app.agents.add({ name: 'bench', environment: 'dev', owner: null }, actor)
await app.grants.add(
  {
    agentId: agent.id,
    credentialId: credential.id,
    allow: ['POST /v1/**', 'GET /**'],
    deny: ['* /v1/admin/**'],
    limits: { rate: { count: 1_000_000_000, perSeconds: 60 }, concurrent: 10_000 },
    expiresAt: null,
  },
  actor,
)
const session = await app.sessions.issue(
  { agentId: agent.id, ttlSeconds: 3600, egress: null, binding: { kind: 'unbound' } },
  actor,
)
const port = Number(app.gatewayAddress.split(':').at(-1))
console.log(
  JSON.stringify({ port, path: '/s/bench', placeholder: session.placeholders[0]?.text, token: session.token }),
)
process.once('SIGTERM', () => void app.close().then(() => process.exit(0)))
