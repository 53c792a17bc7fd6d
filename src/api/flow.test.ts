import { KeywardError } from '../core/errors.ts'
import { scrubText } from '../core/scrub.ts'
import { createApprovals } from '../gateway/approval/approvals.ts'
import { createInflight } from '../gateway/inflight.ts'
import { createNeedleSource } from '../gateway/needle-source.ts'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createControlClient } from '../client/control-client.ts'
import type { ControlClient } from '../client/control-client.ts'
import { base62 } from '../core/placeholder.ts'
import { createAgents } from '../identity/agents.ts'
import { createConditionReader } from '../identity/condition-reader.ts'
import { createGrants } from '../identity/grants.ts'
import { createLogins } from '../identity/logins.ts'
import { createIssuerKeys } from '../identity/issuer-keys.ts'
import { lazyDpop } from '../identity/lazy-dpop.ts'
import { createMachineLogins } from '../identity/machine-logins.ts'
import { createTrusts } from '../identity/trusts.ts'
import { createAttempts } from './network-rules.ts'
import { createPeople } from '../identity/people.ts'
import { createPolicyFiles } from '../identity/policy-files/policy-files.ts'
import { createSessions } from '../identity/sessions.ts'
import { openJournal } from '../journal/journal.ts'
import { createDirectory } from '../services/directory.ts'
import { services as builtIn } from '../services/index.ts'
import { keepJournalHead } from '../vault/journal-head.ts'
import { openSqliteStore } from '../stores/sqlite.ts'
import { createBackups } from '../vault/backup/make.ts'
import { createCredentials } from '../vault/credentials.ts'
import { createRootKeyFile, fileSource } from '../vault/root-keys/file.ts'
import { joinNodes } from '../vault/nodes.ts'
import { createVault } from '../vault/vault.ts'
import { ownersDoor } from './caller.ts'
import { createControlApi } from './control.ts'
import { openApiDocument } from './openapi.ts'
import { listenControl } from './server.ts'

const canary = `canary-${randomBytes(18).toString('hex')}`
const second = `second-${randomBytes(18).toString('hex')}`
const closers: (() => Promise<void> | void)[] = []
const answers: string[] = []
let client: ControlClient
let keepHead: () => Promise<void>
let stopped = false

const described = openApiDocument('0.0.0')
const ajv = new Ajv2020({ strict: false }).addSchema({ $id: 'keyward', ...described })

/** Holds an answer against the OpenAPI document, as a client of another language would read it. */
function expectDescribed(route: string, answer: unknown): void {
  const [method = '', path = ''] = route.split(' ')
  const pointer = path.replace(/:([a-z]+)/g, '{$1}').replaceAll('/', '~1')
  const place = `keyward#/paths/${encodeURI(pointer)}/${method.toLowerCase()}/responses/200/content/application~1json/schema`
  const isValid = ajv.getSchema(place)
  if (isValid === undefined) throw new Error(`the document does not describe ${route}`)
  void isValid(answer)
  expect(isValid.errors ?? [], route).toEqual([])
}

/** Keeps what every answer said, for the search at the end. */
function recording(inner: ControlClient): ControlClient {
  return {
    journal: inner.journal,
    backup: inner.backup,
    read: inner.read,
    async call(route, path, input, ifMatch) {
      try {
        const answer = await inner.call(route, path, input, ifMatch)
        expectDescribed(route, answer)
        if (!route.endsWith('/reveal')) answers.push(JSON.stringify(answer))
        return answer
      } catch (error) {
        answers.push(String(error))
        throw error
      }
    },
  }
}

beforeAll(async () => {
  const home = mkdtempSync(join(tmpdir(), 'keyward-api-'))
  closers.push(() => rmSync(home, { recursive: true, force: true }))
  const now = Date.now
  const newId = (): string => randomBytes(13).toString('hex')
  const store = await openSqliteStore(join(home, 'keyward.db'))
  const rootKey = await createRootKeyFile(join(home, 'root-key'), randomBytes)
  const { records, vault } = await createVault({ store, rootKey, now, random: randomBytes })
  const journalDirectory = join(home, 'journal')
  const journal = await openJournal({
    directory: join(journalDirectory, 'test'),
    node: 'test',
    ...vault.journalKey(),
    now,
    segmentBytes: 8192,
  })
  keepHead = async () => keepJournalHead(records, 'test', await journal.checkpoint())
  records.attach({
    intent: (entry) => journal.append({ kind: 'control', ...entry }, { sync: true }),
    applied: (entry) => journal.append({ kind: 'applied', ...entry }, { sync: true }),
  })
  const services = createDirectory({ builtIn, own: () => records.all('service') })
  const grants = createGrants({
    records,
    now,
    newId,
    operationsOf: () => [],
    languagesOf: () => [],
    conditionOf: createConditionReader('UTC'),
  })
  const credentials = createCredentials({ records, vault, service: services.get, now, newId })
  const needles = createNeedleSource({ credentials, services, records })
  const backups = createBackups({
    records,
    key: () => vault.macKey('backup'),
    publicKey: () => vault.journalKey().publicKey,
    journal,
    journalDirectory,
    node: 'test',
    version: '0.0.0',
    now,
    newId,
  })
  const sessions = createSessions({
    records,
    tokenKey: vault.macKey('token'),
    sessionKey: vault.macKey('session'),
    signing: { key: vault.macKey('placeholder'), signsWith: () => false },
    randomBytes,
    now,
    newId,
    isAlive: () => true,
    credentialsOf: grants.credentialsOf,
    secretFieldsOf: () => ['key'],
    shapeOf: () => ({ prefix: 'sk-', alphabet: base62, length: null }),
  })
  const trusts = createTrusts({ records, now, newId })
  const machineLogins = createMachineLogins({
    records,
    sessions,
    trusts,
    keys: createIssuerKeys({ fetchJson: () => Promise.reject(new KeywardError('issuer_unreachable')), now }),
    dpop: lazyDpop(now),
    tokenKey: vault.macKey('token'),
    randomBytes,
    now,
    newId,
  })
  const parts = {
    trusts,
    machineLogins,
    machineAttempts: createAttempts({ now }),
    config: { home, database: null, node: 'test', ephemeral: false },
    version: '0.0.0',
    startedAt: now(),
    records,
    vault,
    rootKeys: fileSource({ path: join(home, 'root-key'), random: randomBytes }),
    random: randomBytes,
    credentials,
    agents: createAgents({ records, now, newId }),
    grants,
    approvals: createApprovals({ now, newId, inflight: createInflight(), journal }),
    policyFiles: createPolicyFiles({ records, credentials, service: services.get, builtIn, now, newId }),
    sessions,
    backups,
    people: createPeople({ records, now, newId }),
    logins: createLogins({ records, key: vault.macKey('login'), randomBytes, now, newId, ownerName: 'operator:test' }),
    personOidc: {
      begin: () => Promise.reject(new KeywardError('oidc_missing')),
      prove: () => Promise.reject(new KeywardError('oidc_missing')),
    },
    ownerName: 'operator:test',
    listenUrl: 'http://127.0.0.1:7070',
    nodes: await joinNodes({
      store,
      records,
      name: 'test',
      self: () => ({ version: 'test', startedAt: 1, epoch: records.epoch, leaseHeld: true }),
      onError: String,
      monotonic: () => 0,
    }),
    services,
    journal,
    journalDirectory,
    shipping: null,
    gatewayAddress: '127.0.0.1:7071',
    monitorAddress: null,
    gatewaySocket: null,
    caCertificate: 'PEM',
    now,
    holdsSecret: (text: string) => scrubText(needles.of('', null), text).hits > 0,
    stop: () => {
      stopped = true
    },
  }
  const socket = join(home, 'control.sock')
  const server = await listenControl(createControlApi(parts, { door: ownersDoor('operator:test') }), socket)
  closers.push(async () => {
    await server.close()
    parts.sessions.close()
    await records.close()
    await journal.close()
  })
  client = recording(createControlClient(socket))
})

afterAll(async () => {
  for (const close of closers.toReversed()) await close()
})

const dev = { environment: 'dev' }
const openai = { environment: 'dev', name: 'openai' }

test('services of one’s own come and go', async () => {
  const definition =
    'id: echo\nname: Echo\nhosts: [echo.example.test]\ninject: { kind: bearer }\nvariables: { key: ECHO_API_KEY, baseUrl: ECHO_BASE_URL }\n'
  expect(await client.call('POST /services', {}, { definition })).toMatchObject({
    id: 'echo',
    own: true,
    fields: { key: 'secret' },
  })
  await expect(client.call('POST /services', {}, { definition })).rejects.toMatchObject({ code: 'already_exists' })
  await expect(client.call('POST /services', {}, { definition: 'id: [' })).rejects.toMatchObject({
    code: 'file_invalid',
  })
  expect((await client.call('GET /services', {}, {})).map((one) => one.id)).toEqual(
    expect.arrayContaining(['echo', 'openai']),
  )
  await client.call('DELETE /services/:service', { service: 'echo' }, {})
  await expect(client.call('GET /services/:service', { service: 'echo' }, {})).rejects.toMatchObject({
    code: 'service_unknown',
  })
  await expect(client.call('DELETE /services/:service', { service: 'openai' }, {})).rejects.toMatchObject({
    code: 'not_found',
  })
})

test('a credential is added, set, shown, suspended, resumed and revealed', async () => {
  await client.call('POST /environments/:environment/credentials', dev, {
    name: 'openai',
    service: 'openai',
    fields: { key: second },
  })
  await expect(
    client.call('POST /environments/:environment/credentials', dev, {
      name: 'openai',
      service: 'openai',
      fields: { key: canary },
    }),
  ).rejects.toMatchObject({ code: 'already_exists' })
  await expect(
    client.call(
      'POST /environments/:environment/credentials',
      { environment: 'prod' },
      { name: 'openai', service: 'openai', fields: { key: second } },
    ),
  ).rejects.toMatchObject({ code: 'secret_reused' })
  await expect(
    client.call('POST /environments/:environment/credentials', dev, {
      name: 'other',
      service: 'openai',
      fields: { key: `${canary}\n` },
    }),
  ).rejects.toMatchObject({ code: 'secret_invalid' })
  expect(
    await client.call('PUT /environments/:environment/credentials/:name', openai, { fields: { key: canary } }),
  ).toEqual({ version: 2 })
  expect(await client.call('GET /environments/:environment/credentials/:name', openai, {})).toMatchObject({
    version: 2,
    state: 'active',
  })
  await client.call('POST /environments/:environment/credentials/:name/suspend', openai, {})
  await client.call('POST /environments/:environment/credentials/:name/resume', openai, {})
  const wrong = client.call('POST /environments/:environment/credentials/:name/reveal', openai, {
    confirmation: 'openaj',
  })
  await expect(wrong).rejects.toMatchObject({ code: 'confirmation_required' })
  const shown = await client.call('POST /environments/:environment/credentials/:name/reveal', openai, {
    confirmation: 'openai',
  })
  expect(shown).toEqual({ field: 'key', value: canary })
  const texts = ['plain', `Bearer ${canary}`, '', Buffer.from(`x${canary}y`).toString('base64')]
  expect(await client.call('POST /occurrences', {}, { texts })).toEqual({
    found: [false, true, false, true],
    holders: [null, null, null, null],
  })
  const here = { texts: [canary, `Bearer ${canary}`], environment: 'dev' }
  expect(await client.call('POST /occurrences', {}, here)).toMatchObject({ holders: ['openai', null] })
  const elsewhere = { texts: [canary], environment: 'prod' }
  expect(await client.call('POST /occurrences', {}, elsewhere)).toEqual({ found: [true], holders: [null] })
})

test('a run makes its agent; a grant gives it a placeholder; the operator ends it', async () => {
  const wish = { agent: 'triage', contain: 'none' as const, process: { processId: process.pid, startTicks: '1' } }
  const first = await client.call('POST /environments/:environment/runs', dev, wish)
  expect(first.credentials).toEqual([])
  expect(first.token).toMatch(/^kws_/)
  const grant = await client.call('POST /environments/:environment/grants', dev, {
    agent: 'triage',
    credential: 'openai',
    allow: ['*'],
    rate: { count: 60, perSeconds: 60 },
  })
  expect(await client.call('GET /grants/:id', grant, {})).toMatchObject({
    agent: 'triage',
    credential: 'openai',
    rate: { count: 60, perSeconds: 60 },
  })
  const session = await client.call('POST /environments/:environment/runs', dev, wish)
  const [held] = session.credentials
  expect(held).toMatchObject({
    name: 'openai',
    baseUrl: { url: 'http://127.0.0.1:7071/s/openai/v1', variables: ['OPENAI_BASE_URL'] },
  })
  expect(held?.fields).toEqual([
    { field: 'key', kind: 'secret', text: expect.stringMatching(/^sk-kwp/), variables: ['OPENAI_API_KEY'] },
  ])
  await client.call('POST /sessions/:id/extend', { id: session.id }, { ttlSeconds: 7200 })
  await client.call('POST /sessions/:id/suspend', { id: session.id }, {})
  await client.call('POST /sessions/:id/resume', { id: session.id }, {})
  await client.call('DELETE /sessions/:id', { id: session.id }, {})
  const listed = await client.call('GET /sessions', {}, { agent: 'triage' })
  expect(listed.find((one) => one.id === session.id)?.state).toBe('revoked')
  await expect(client.call('DELETE /sessions/:id', { id: 'nosuch' }, {})).rejects.toMatchObject({ code: 'not_found' })
  await expect(
    client.call('POST /environments/:environment/runs', { environment: 'prod' }, { ...wish, egress: 'open' }),
  ).rejects.toMatchObject({ code: 'usage' })
  await expect(
    client.call('POST /environments/:environment/runs', { environment: 'nowhere' }, wish),
  ).rejects.toMatchObject({ code: 'not_found' })
})

test('what is referred to stays until it is let go', async () => {
  await expect(client.call('DELETE /environments/:environment/credentials/:name', openai, {})).rejects.toMatchObject({
    code: 'still_in_use',
  })
  await client.call('POST /environments/:environment/agents/:name/suspend', { environment: 'dev', name: 'triage' }, {})
  await client.call('POST /environments/:environment/agents/:name/resume', { environment: 'dev', name: 'triage' }, {})
  await client.call('GET /environments/:environment/agents/:name', { environment: 'dev', name: 'triage' }, {})
  await client.call('DELETE /environments/:environment/agents/:name', { environment: 'dev', name: 'triage' }, {})
  expect(await client.call('GET /grants', {}, {})).toEqual([])
  await client.call('DELETE /environments/:environment/credentials/:name', openai, {})
  expect(await client.call('GET /credentials', {}, {})).toEqual([])
})

test('the journal streams, follows and verifies', async () => {
  const kinds: string[] = []
  for await (const entry of client.journal({ last: '5' })) kinds.push(entry.event.kind)
  expect(kinds).toHaveLength(5)
  const abort = new AbortController()
  const follow = client.journal({ last: '1', follow: 'yes' }, abort.signal)
  const iterator = follow[Symbol.asyncIterator]()
  expect((await iterator.next()).done).toBe(false)
  const later = iterator.next()
  await client.call('POST /environments/:environment/agents', dev, { name: 'late' })
  expect((await later).value?.event.kind).toBe('control')
  abort.abort()
  await expect(iterator.next().then(() => iterator.next())).rejects.toThrow()
  expect(await client.call('GET /journal/verification', {}, {})).toMatchObject({ ok: true })
})

test('If-Match: a change is made to what was read, or not at all', async () => {
  await client.call('POST /environments/:environment/agents', { environment: 'dev' }, { name: 'tagged' })
  const path = { environment: 'dev', name: 'tagged' }
  const show = 'GET /environments/:environment/agents/:name'
  const suspend = 'POST /environments/:environment/agents/:name/suspend'
  const resume = 'POST /environments/:environment/agents/:name/resume'
  const { tag } = await client.read(show, path)
  expect(tag).toMatch(/^"\d+"$/)
  expect((await client.read(show, path)).tag).toBe(tag)
  await client.call(suspend, path, {}, tag ?? '')
  const later = (await client.read(show, path)).tag
  expect(later).not.toBe(tag)
  const failed = { code: 'precondition_failed', status: 412 }
  await expect(client.call(resume, path, {}, tag ?? '')).rejects.toMatchObject(failed)
  // It finds nothing to change, and is refused all the same.
  await expect(client.call(suspend, path, {}, tag ?? '')).rejects.toMatchObject(failed)
  await expect(client.call(resume, path, {}, `W/${later}`)).rejects.toMatchObject(failed)
  expect((await client.read(show, path)).answer.state).toBe('suspended')
  await client.call(resume, path, {}, `"0", ${later}`)
  await client.call(suspend, path, {}, '*')
  for (const malformed of ['7', '"7', '"a" "b"', '*, "1"', ''])
    await expect(client.call(resume, path, {}, malformed), malformed).rejects.toMatchObject({ code: 'usage' })
  await client.call('DELETE /environments/:environment/agents/:name', path, {})
  await expect(client.call('DELETE /environments/:environment/agents/:name', path, {}, '*')).rejects.toMatchObject(
    failed,
  )
  await expect(
    client.call('POST /environments/:environment/agents', { environment: 'dev' }, { name: 'untagged' }, '*'),
  ).rejects.toMatchObject({ code: 'usage' })
})

test('the nodes: on a store of one’s own, this one alone, which cannot be removed', async () => {
  await keepHead()
  expect(await client.call('GET /nodes', {}, {})).toEqual([
    expect.objectContaining({ name: 'test', live: true, self: true, version: 'test', leaseHeld: true }),
  ])
  expect(await client.call('GET /status', {}, {})).toMatchObject({ node: 'test', liveNodes: 1 })
  await expect(client.call('DELETE /nodes/:name', { name: 'test' }, {})).rejects.toMatchObject({
    code: 'node_running',
  })
  await expect(client.call('DELETE /nodes/:name', { name: 'other' }, {})).rejects.toMatchObject({ code: 'not_found' })
})

test('status tells, shutdown stops', async () => {
  expect(await client.call('GET /status', {}, {})).toMatchObject({
    gateway: '127.0.0.1:7071',
    store: expect.stringMatching(/\/keyward\.db$/),
    environments: expect.any(Array),
  })
  await client.call('POST /shutdown', {}, {})
  expect(stopped).toBe(true)
})

test('no answer but that of reveal, and no journal entry, held a secret', async () => {
  const entries: string[] = []
  for await (const entry of client.journal({ last: '10000' })) entries.push(JSON.stringify(entry))
  const everything = [...answers, ...entries].join('\n')
  expect(everything.length).toBeGreaterThan(1000)
  for (const secret of [canary, second]) {
    const digest = createHash('sha256').update(secret).digest('hex')
    for (const form of [
      secret,
      Buffer.from(secret).toString('base64').slice(0, -4),
      Buffer.from(secret).toString('hex'),
      digest,
    ]) {
      expect(everything).not.toContain(form)
    }
  }
})

test('a base-URL variable that another held service’s SDK reads first is left out', async () => {
  const staging = { environment: 'staging' }
  await client.call('POST /environments/:environment/agents', staging, { name: 'shadowed' })
  const add = async (name: string, fields: Record<string, string>): Promise<Map<string, readonly string[]>> => {
    await client.call('POST /environments/:environment/credentials', staging, { name, service: name, fields })
    await client.call('POST /environments/:environment/grants', staging, {
      agent: 'shadowed',
      credential: name,
      allow: ['*'],
    })
    const { credentials } = await client.call('POST /environments/:environment/sessions', staging, {
      agent: 'shadowed',
    })
    return new Map(credentials.map((held) => [held.name, held.baseUrl.variables]))
  }
  expect(await add('openai', { key: randomBytes(24).toString('hex') })).toEqual(
    new Map([['openai', ['OPENAI_BASE_URL']]]),
  )
  expect(await add('azure-openai', { key: randomBytes(24).toString('hex'), resource: 'acme' })).toEqual(
    new Map([
      ['openai', []],
      ['azure-openai', ['AZURE_OPENAI_ENDPOINT']],
    ]),
  )
})

test('old segments are pruned once the store knows of them, and the journal verifies without them', async () => {
  const before = Date.now() + 1000
  await expect(client.call('POST /journal/prunes', {}, { before })).rejects.toMatchObject({ code: 'prune_refused' })
  expect(await client.call('POST /journal/prunes', {}, { before: 1 })).toEqual({ segments: 0, prunedTo: 0 })
  await keepHead()
  const { segments, prunedTo } = await client.call('POST /journal/prunes', {}, { before })
  expect(segments).toBeGreaterThan(0)
  expect(await client.call('GET /journal/verification', {}, {})).toMatchObject({ ok: true, prunedTo })
  expect(await client.call('GET /journal/witness', {}, {})).toMatchObject({
    prunedTo,
    anchor: { root: expect.any(String) },
  })
  const said: unknown[] = []
  for await (const { event } of client.journal({ order: 'newest', text: 'journal.prune' })) said.push(event)
  expect(said).toMatchObject([
    { kind: 'control', action: 'journal.prune', actor: 'operator:test', detail: { first: 1, last: prunedTo } },
  ])
})
