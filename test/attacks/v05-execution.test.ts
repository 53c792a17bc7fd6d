import childProcess from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, expect } from 'vitest'
import { ownersDoor } from '../../src/api/caller.ts'
import { createControlApi } from '../../src/api/control.ts'
import { inputs } from '../../src/api/schema.ts'
import { madeUp } from '../e2e/gateway/harness.ts'
import { attack, fronts, inside } from './attack.ts'
import { hostileTexts } from './hostile.ts'
import { openScene, type Scene } from './scene.ts'

/** V5, V6, V7: nothing that somebody sends is ever started, evaluated or loaded. */

let scene: Scene
let folder = ''
const started: string[] = []

/** Every way to start a process, each of which is written down from here on. */
const starters = ['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork'] as const

beforeAll(async () => {
  scene = await openScene()
  folder = mkdtempSync(join(tmpdir(), 'keyward-execution-'))
  const real: Record<string, unknown> = createRequire(import.meta.url)('node:child_process')
  for (const name of starters) {
    const original = real[name]
    if (typeof original !== 'function') throw new Error(`There is no ${name}.`)
    real[name] = (...args: unknown[]): unknown => {
      started.push(`${name} ${String(args[0])}`)
      return Reflect.apply(original, real, args)
    }
  }
  // What was imported by name before this is replaced with it.
  syncBuiltinESMExports()
})
afterAll(async () => {
  await scene.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Whatever the work does, no process has been started and no hostile text has left its mark. */
async function expectNothingStarts(work: () => Promise<void>): Promise<void> {
  started.length = 0
  const before = process.cwd()
  await work()
  expect(started).toEqual([])
  for (const place of [before, folder]) expect(existsSync(join(place, 'CANARY')), place).toBe(false)
}

/** Of the members that take a text, one in so many gets each. */
const SHARE = 5
const commands = [...hostileTexts, `touch ${tmpdir()}/CANARY`, '/bin/sh', '-c', '--require', 'node:child_process']

/** One value for each kind of member that a route may ask for; the text stands wherever a text may stand. */
function bodiesWith(text: string): Record<string, unknown>[] {
  const name = 'hostile'
  return [
    { name, owner: text },
    { name, service: 'echo', fields: { key: `${text}${madeUp()}` }, owner: text },
    { fields: { key: `${text}${madeUp()}` } },
    { agent: 'triage', credential: 'echo', allow: [text], deny: [text] },
    { agent: 'triage', credential: 'echo', allow: [`GET /${text}`, `${text} /`] },
    { agent: 'triage', process: { processId: 1, startTicks: text } },
    { agent: 'triage', program: text, contain: 'none' },
    { agent: text, program: 'sh', contain: text },
    { agent: 'triage', program: 'sh', contain: 'files', command: text, args: [text], env: { NODE_OPTIONS: text } },
    { definition: text },
    { definition: `id: hostile\nname: ${JSON.stringify(text)}\ncommand: ${JSON.stringify(text)}\n` },
    { definition: `id: hostile\nhosts: [h.example.test]\ninject: { kind: exec, command: ${JSON.stringify(text)} }\n` },
    { definition: serviceWith(`header, name: x-key, template: ${JSON.stringify(`${text}{key}`)}`) },
    { definition: `${serviceWith('bearer')}trust: ${JSON.stringify(text)}\n`, trust: text },
    { field: 'key', confirmation: text },
    { texts: [text], environment: 'dev' },
    { ttlSeconds: text },
    { [text]: text },
  ]
}

function serviceWith(inject: string): string {
  return `id: hostile\nname: Hostile\nhosts: [h.example.test]\nfields: { key: secret }\ninject: { kind: ${inject} }\n`
}

const json = (method: string, body: unknown): RequestInit => ({
  method,
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json' },
})

attack('V5', 'the watch sees every way to start a process', inside, () => {
  for (const start of [
    () => childProcess.spawnSync('true'),
    () => childProcess.execFileSync('true'),
    () => childProcess.spawn('true'),
  ]) {
    started.length = 0
    start()
    expect(started.length).toBeGreaterThan(0)
  }
})

attack('V5', 'every route of the control API with commands in every member', inside, async () => {
  // On a product of its own: some of this is allowed, and changes what may be done.
  const other = await openScene()
  const errors: unknown[] = []
  const api = createControlApi(
    { ...other.stage.app, stop: () => undefined },
    { door: ownersDoor('test'), onError: (_, error) => errors.push(error) },
  )
  await expectNothingStarts(async () => {
    for (const route of Object.keys(inputs)) {
      const [method = '', template = ''] = route.split(' ')
      for (const [index, text] of commands.entries()) {
        const path = `http://keyward${template.replaceAll(/:[a-z]+/g, 'dev')}`
        const named = `http://keyward${template.replaceAll(/:[a-z]+/g, encodeURIComponent(text))}`
        for (const target of method === 'GET' ? [`${path}?text=${encodeURIComponent(text)}`, named] : [named]) {
          const response = await api.request(target, method === 'GET' ? {} : json(method, {}))
          await response.body?.cancel()
        }
        if (method === 'GET') continue
        // Each text in a share of the members, so that every member has had many of them.
        const bodies = bodiesWith(text).filter((_, member) => (member + index) % SHARE === 0)
        for (const body of bodies) await api.request(path, json(method, body))
      }
    }
  })
  await other.close()
  expect(errors).toEqual([])
})

attack('V5', 'requests with commands in target, headers and body', fronts, async (front) => {
  scene.answer((_request, response, got) => response.end(got.body))
  await expectNothingStarts(async () => {
    for (const text of commands.filter((one) => one.length < 500)) {
      const plain = encodeURIComponent(text)
      await scene.ask(front, {
        method: 'POST',
        target: `/tools/${plain.replaceAll(/%../g, '-')}?cmd=${plain}`,
        headers: [
          ['Content-Type', 'application/json'],
          ['X-Command', text],
          ['User-Agent', `() { :;}; ${text}`],
        ],
        body: JSON.stringify({
          jsonrpc: '2.0',
          method: text,
          params: { command: text, args: [text], transport: 'stdio' },
        }),
      })
    }
  })
})

/** Where the source may start, load or evaluate what is not written there as text, and why. */
const mayStart: Readonly<Record<string, string>> = {
  'containment/run.ts': 'the command that a person gave to `run`',
  'containment/launcher.ts': 'a script of fixed text, whose variables are arguments',
  'containment/probe.ts': 'asks the platform what containment it allows',
  'cli/keep-closed.ts': 'asks whether a debugger is there',
  'cli/start-server.ts': 'Keyward itself, for `run`',
  'cli/oidc-browser.ts': 'the browser of the person who logs in, with the address of the provider',
  'vault/root-keys/keyring.ts': 'the program of the system’s keyring, with fixed arguments',
  'cli/doctor/stage.ts': 'the process that doctor tries to read',
  'cli/doctor/checks/decoy.ts': 'Keyward itself, as the decoy of doctor',
  'cli/doctor/inside/files.ts': 'doctor, from inside containment',
  'journal/journal.ts': 'the worker that writes the journal, from a fixed file',
  'journal/worker.ts': 'is that worker; a test gives it another disk',
}

const ways: readonly [what: string, pattern: RegExp][] = [
  ['a process or thread', /from '(?:node:)?(?:child_process|worker_threads|cluster)'/],
  ['a program text', /from '(?:node:)?(?:vm|repl|inspector(?:\/promises)?|module|wasi)'/],
  ['eval', /(?<![.\w])eval\s*\(/],
  ['Function', /\bnew\s+Function\b|(?<![.\w])Function\s*\(/],
  ['WebAssembly', /\bWebAssembly\b/],
  ['require', /(?<![.\w])(?:require|createRequire)\s*\(/],
  ['a module by a name that is not written there', /\bimport\s*\(\s*(?!')/],
  ['a library of the system', /process\.(?:dlopen|binding|_linkedBinding)\b/],
  ['a timer of text', /\bset(?:Timeout|Interval|Immediate)\s*\(\s*['"`]/],
]

const root = join(import.meta.dirname, '../../src')
const sources = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && !/\.test\.ts$|\/trial\/|crash-child\.ts$/.test(file),
)

attack('V7', 'no source file starts, loads or evaluates anything but those that are listed', inside, () => {
  const found = new Map<string, string[]>()
  for (const file of sources) {
    const text = readFileSync(join(root, file), 'utf8')
      .replaceAll(/\/\*[\s\S]*?\*\//g, '')
      .replaceAll(/^\s*(?:import type|\/\/).*$/gm, '')
    const hits = ways.flatMap(([what, pattern]) => (pattern.test(text) ? [what] : []))
    if (hits.length > 0) found.set(file, hits)
  }
  expect([...found.keys()].toSorted()).toEqual(Object.keys(mayStart).toSorted())
  // Nothing that serves requests is among them; the keyring is asked at a start, and when a person changes the root key.
  for (const file of found.keys())
    expect(file).not.toMatch(
      /^(?!vault\/root-keys\/keyring\.ts$)(?:gateway|api|core|vault|identity|injectors|services|detectors|ledger|stores|app|config)/,
    )
})

attack('V7', 'definitions that bring code along are refused', inside, async () => {
  const api = createControlApi({ ...scene.stage.app, stop: () => undefined }, { door: ownersDoor('test') })
  const add = async (definition: string): Promise<[number, unknown]> => {
    const response = await api.request('http://keyward/services', {
      method: 'POST',
      body: JSON.stringify({ definition }),
      headers: { 'content-type': 'application/json' },
    })
    const { code }: { code?: unknown } = JSON.parse(await response.text())
    return [response.status, code]
  }
  expect((await add(serviceWith('bearer')))[0], 'the same without code').toBe(200)
  const mark = JSON.stringify(join(folder, 'CANARY'))
  await expectNothingStarts(async () => {
    for (const more of [
      `script: "require('fs').writeFileSync(${mark.replaceAll('"', '')}, '')"`,
      'plugin: ./plugin.mjs',
      'module: node:child_process',
      'transform: "(request) => request"',
      'guardrail: { python: "import os" }',
      'inject2: { kind: exec }',
      '__proto__: { polluted: true }',
      'constructor: { prototype: { polluted: true } }',
      "name: !!js/function 'function () { return 1 }'",
      "name: !!python/object/apply:os.system ['touch CANARY']",
      'name: !<tag:yaml.org,2002:js/undefined> ""',
      '<<: { script: x }',
    ])
      expect(await add(serviceWith('bearer').replace('id: hostile', 'id: other') + `${more}\n`), more).toEqual([
        400,
        'file_invalid',
      ])
    for (const kind of [
      'exec',
      '__proto__',
      'constructor',
      'toString',
      '../bearer',
      './evil.mjs',
      'data:text/javascript',
    ])
      expect(await add(serviceWith(JSON.stringify(kind)).replace('id: hostile', 'id: other')), kind).toEqual([
        400,
        'file_invalid',
      ])
  })
  expect(Reflect.get({}, 'polluted')).toBeUndefined()
})

/** What template engines, and String.replace, would take apart. */
const templates = [
  '${7*7}',
  '{{7*7}}',
  '<%= 7*7 %>',
  '#{7*7}',
  '$&$1$$',
  "$`$'",
  '%s%n',
  '{key}{key}',
  '{{constructor}}',
]

attack('V6', 'a secret that looks like a template goes out as it is', fronts, async (front) => {
  for (const [index, template] of templates.entries()) {
    const id = `templated-${front.door}-${front.protocol === 'h2' ? 'h2' : 'h1'}-${index}`
    const value = `${template}${madeUp()}`
    const held = await scene.stage.hold({
      id,
      endpoint: scene.upstream.origin,
      values: { key: value },
      inject: [{ kind: 'header', name: 'x-key', template: 'v=$1#7*7;{key};$&' }],
    })
    const login = await scene.stage.login('triage')
    await scene.stage.request({
      ...front,
      held,
      login,
      headers: [['x-key', `v=$1#7*7;${login.placeholder(held)};$&`]],
    })
    expect(scene.upstream.got.at(-1)?.headers['x-key']).toBe(`v=$1#7*7;${value};$&`)
  }
})

attack('V6', 'what an agent writes is text, wherever it is written', fronts, async (front) => {
  scene.answer((_request, response, got) =>
    response.end(JSON.stringify([got.target, got.headers['x-prompt'], String(got.body)])),
  )
  for (const template of templates) {
    const target = `/v1/prompts?q=${encodeURIComponent(template)}`
    const answer = await scene.ask(front, { method: 'POST', target, headers: [['X-Prompt', template]], body: template })
    expect(JSON.parse(answer.body.toString())).toEqual([target, template, template])
  }
})

attack('V6', 'a template of a service names one field and nothing else', inside, async () => {
  const api = createControlApi({ ...scene.stage.app, stop: () => undefined }, { door: ownersDoor('test') })
  for (const template of [
    '{key.constructor}',
    '{key}{key}',
    '{{key}}',
    '{key|upper}',
    '{ key }',
    '{}',
    '{7*7}',
    '{env.HOME}{key}',
  ]) {
    const response = await api.request('http://keyward/services', {
      method: 'POST',
      body: JSON.stringify({
        definition: serviceWith(`header, name: x-key, template: ${JSON.stringify(template)}`).replace(
          'id: hostile',
          'id: third',
        ),
      }),
      headers: { 'content-type': 'application/json' },
    })
    expect(response.status, template).toBe(400)
  }
})
