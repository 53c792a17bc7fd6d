import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { format, inspect } from 'node:util'
import { serialize } from 'node:v8'
import { expect } from 'vitest'
import { KeywardError } from '../../src/core/errors.ts'
import { Secret } from '../../src/core/secret.ts'
import { findLeaks } from '../e2e/canary/secrets.ts'
import { madeUp } from '../e2e/gateway/harness.ts'
import { always, startUpstream } from '../e2e/gateway/upstream.ts'
import { openHouse, ordinary, serviceYaml } from '../harness.ts'
import { rawRequest } from '../raw-request.ts'
import { attack, inside } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

/** What a secret would be without care. */
class Careless {
  readonly value: string
  constructor(value: string) {
    this.value = value
  }
  toString(): string {
    return this.value
  }
}

/** Every way that somebody adds a value to a log without a second thought. */
const prints: Record<string, (value: unknown) => unknown> = {
  'as text': (value) => String(value),
  'in a template': (value) => `${value as string}`,
  'added to text': (value) => 'key: ' + (value as string),
  'as JSON': (value) => JSON.stringify(value),
  'as JSON in an object': (value) => JSON.stringify({ nested: [{ value }] }),
  inspected: (value) => inspect(value, { depth: null, showHidden: true, getters: true }),
  'inspected in an object': (value) =>
    inspect({ nested: [{ value }] }, { depth: null, showHidden: true, getters: true }),
  'by %s %d %i %f %j %o %O': (value) => format('%s %d %i %f %j %o %O', ...Array.from({ length: 7 }, () => value)),
  'as an error': (value) => inspect(new Error(String(value), { cause: value }), { depth: null, showHidden: true }),
  'as a detail of an error of ours': (value) => inspect(new KeywardError('internal', String(value), { cause: value })),
  'in a stack': (value) => new Error(String(value)).stack,
  'its members': (value) =>
    inspect([
      Object.entries(value as object),
      Object.getOwnPropertyDescriptors(value as object),
      { ...(value as object) },
    ]),
  'copied to another thread': (value) => inspect(structuredClone({ ...(value as object) })),
  serialised: (value) => serialize({ ...(value as object) }).toString('latin1'),
}

attack('S2', 'a secret prints as its name, in whichever way', inside, () => {
  for (const [way, print] of Object.entries(prints)) {
    const value = madeUp()
    const text = String(print(new Secret('key', Buffer.from(value))))
    expect(findLeaks(Buffer.from(text), { value }), way).toEqual([])
    // A print that shows nothing of a Secret would show a plain text: the ways themselves work.
    expect(String(print(new Careless(value))).includes(value), way).toBe(true)
  }
})

attack('S2', 'the running product, printed whole, shows none', inside, async () => {
  const where = await places.place()
  const secret = where.held.secret()
  await places.ask({ name: 'base-url', door: 'base-url', protocol: 'http/1.1' }, where)
  const text = inspect(places.stage.app, {
    depth: 30,
    showHidden: true,
    getters: true,
    maxArrayLength: null,
    maxStringLength: null,
  })
  expect(text.length).toBeGreaterThan(1_000)
  expect(findLeaks(Buffer.from(text), { secret })).toEqual([])
  expect(
    inspect(places.stage.app.credentials.current(where.held.credentialId), { depth: 9, showHidden: true }),
  ).toMatch(/\[secret \S+key\]/)
})

/** Makes a secret of its first argument as a vault does, and dies with it in its hands. */
const dying = `
import { Secret } from ${JSON.stringify(join(import.meta.dirname, '../../src/core/secret.ts'))}
import { readFileSync } from 'node:fs'
const bytes = readFileSync(0)
const secret = new Secret('key', bytes)
bytes.fill(0)
globalThis.kept = { secret, inner: new Map([['a', secret]]) }
const error = new TypeError('cannot send ' + secret)
Object.assign(error, { secret, held: globalThis.kept })
if (process.argv[2] === 'reject') await Promise.reject(error)
throw error
`

attack('S2', 'a process that dies with a secret in its hands prints none: message, stack, report', inside, () => {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-crash-'))
  try {
    for (const way of ['throw', 'reject']) {
      const value = madeUp()
      const flags = ['--report-uncaught-exception', `--report-directory=${folder}`, '--trace-uncaught']
      const died = spawnSync(
        process.execPath,
        [...flags, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', dying, way],
        { input: value, cwd: folder, env: {} },
      )
      expect(died.status).not.toBe(0)
      expect(died.stderr.toString()).toContain('[secret key]')
      const reports = readdirSync(folder).map((name) => readFileSync(join(folder, name)))
      expect(reports.length).toBeGreaterThan(0)
      for (const bytes of [died.stdout, died.stderr, ...reports]) expect(findLeaks(bytes, { value })).toEqual([])
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

attack(
  'S2',
  'a server leaves no core file and has no inspector, and its own variables hold no secret',
  inside,
  async () => {
    if (process.platform !== 'linux') return
    const house = openHouse()
    try {
      const stray = madeUp()
      const server = await house.up({
        variables: { OPENAI_API_KEY: stray, AWS_SECRET_ACCESS_KEY: stray, MY_TOKEN: stray },
      })
      const read = (name: string): string => readFileSync(`/proc/${server.pid}/${name}`, 'latin1')
      expect(read('limits')).toMatch(/^Max core file size +0 +0 /m)
      if (existsSync(`/proc/${server.pid}/coredump_filter`))
        expect(Number.parseInt(read('coredump_filter'), 16)).toBe(0)
      expect(findLeaks(Buffer.from(read('environ') + read('cmdline'), 'latin1'), { stray })).toEqual([])
      // SIGUSR1 opens the inspector of an ordinary Node; here it must open none and end nothing.
      process.kill(server.pid, 'SIGUSR1')
      expect((await house.keyward(['status'])).code).toBe(0)
      const tables = ['tcp', 'tcp6'].map((kind) => read(`net/${kind}`)).join('')
      expect(tables).not.toContain(`:${(9_229).toString(16).toUpperCase()} 00000000:0000 0A`)
      const refused = await house.keyward(['up'], { before: [], variables: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } })
      expect(refused.code).not.toBe(0)
    } finally {
      await house.close()
    }
  },
)

attack('S2', 'a heap snapshot of a server that has used a key holds no text of it', inside, async () => {
  const house = openHouse()
  const upstream = await startUpstream(always(200, {}, 'ok'))
  try {
    const key = madeUp()
    const server = await house.up()
    house.write('mine.yaml', serviceYaml('mine', upstream.port))
    await house.expectDone(['service', 'add', 'mine.yaml'])
    await house.expectDone(['credential', 'add', 'mine', '--service', 'mine', '--stdin'], { input: key })
    await house.expectDone(['agent', 'add', 'ada'])
    await house.expectDone(['grant', 'add', '--agent', 'ada', '--credential', 'mine', '--allow', '*'])
    const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
      await house.expectDone(['session', 'issue', '--agent', 'ada', '--json']),
    )
    await server.stop()
    const path = join(house.work, 'heap')
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'snapshot-server.ts'), house.home, path],
      { stdio: ['ignore', 'pipe', 'inherit'], ...ordinary },
    )
    const ended = new Promise((done) => child.once('close', done))
    const port = await new Promise<number>((ready) =>
      child.stdout.once('data', (bytes: Buffer) => ready(Number(bytes))),
    )
    for (let count = 0; count < 20; count += 1) {
      const headers = { authorization: `Bearer ${issued.credentials[0]?.fields[0]?.text}` }
      expect((await rawRequest({ port, target: '/s/mine/x', headers })).status).toBe(200)
    }
    child.kill('SIGTERM')
    await ended
    const snapshot = readFileSync(path)
    expect(snapshot.length).toBeGreaterThan(1_000_000)
    expect(upstream.got.at(-1)?.headers.authorization).toBe(`Bearer ${key}`)
    expect(findLeaks(snapshot, { key })).toEqual([])
  } finally {
    await house.close()
    await upstream.close()
  }
})
