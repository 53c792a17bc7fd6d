import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const bin = resolve('bin/keyward.cjs')
const folder = mkdtempSync(join(tmpdir(), 'keyward-apply-'))
const key = `test-${randomBytes(24).toString('hex')}`
const other = `test-${randomBytes(24).toString('hex')}`
const outputs: string[] = []
const environment = {
  PATH: process.env['PATH'] ?? '',
  HOME: folder,
  KEYWARD_HOME: join(folder, 'home'),
  KEYWARD_GATEWAY: '127.0.0.1:0',
}
let server: ChildProcess

function keyward(args: readonly string[], options: { input?: string; variables?: Record<string, string> } = {}) {
  return new Promise<{ code: number | null; out: string; err: string }>((done) => {
    const child = spawn(process.execPath, [bin, ...args], {
      cwd: folder,
      env: { ...environment, ...options.variables },
    })
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk) => (out += String(chunk)))
    child.stderr.on('data', (chunk) => (err += String(chunk)))
    child.stdin.end(options.input ?? '')
    child.on('close', (code) => {
      outputs.push(out, err)
      done({ code, out, err })
    })
  })
}

beforeAll(async () => {
  mkdirSync(join(folder, 'policy/teams'), { recursive: true })
  writeFileSync(
    join(folder, 'policy/a.yaml'),
    'kind: service\nid: echo\nhosts: [echo.example.test]\ninject: { kind: bearer }\n---\nkind: credential\nname: echo\nservice: echo\nfrom: { key: env:ECHO_KEY }\n',
  )
  writeFileSync(join(folder, 'policy/teams/.hidden.yaml'), 'no: policy\n')
  writeFileSync(
    join(folder, 'elsewhere.txt'),
    'kind: agent\nname: triage\n---\nkind: credential\nname: second\nservice: echo\nfrom: { key: "@second.key" }\n',
  )
  symlinkSync('../../elsewhere.txt', join(folder, 'policy/teams/linked.yml'))
  writeFileSync(join(folder, 'policy/teams/second.key'), `${other}\n`)
  writeFileSync(
    join(folder, 'policy/grants.yaml'),
    'kind: grant\nagent: triage\ncredential: echo\nallow: ["GET /things/**"]\nlimits: { rate: 60/min }\n',
  )
  server = spawn(process.execPath, [bin, 'up'], { env: environment, stdio: ['ignore', 'pipe', 'ignore'] })
  for await (const chunk of server.stdout ?? []) if (String(chunk).includes('gateway is')) break
})

afterAll(() => {
  server.kill('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
})

test('a folder is shown, applied with its values, and then is what there is', async () => {
  const shown = await keyward(['apply', '-f', 'policy', '--dry-run'])
  expect(shown).toMatchObject({ code: 1, err: '' })
  expect(shown.out).toContain('+ grant dev/triage/echo')
  expect(shown.out).toContain('5 to create, 0 to change, 0 to remove, 0 unchanged.')
  const missing = await keyward(['apply', '-f', 'policy'])
  expect(missing.code).toBe(1)
  expect(missing.err).toContain('Field key of dev/echo comes from env:ECHO_KEY.')
  const done = await keyward(['apply', '-f', 'policy'], { variables: { ECHO_KEY: key } })
  expect(done).toMatchObject({ code: 0, err: 'Done.\n' })
  expect(await keyward(['apply', '-f', 'policy', '--dry-run'])).toMatchObject({ code: 0 })
  const again = await keyward(['apply', '-f', 'policy'])
  expect(again).toMatchObject({ code: 0, err: 'Nothing to change.\n' })
  const found = JSON.parse((await keyward(['credential', 'list', '--json'])).out)
  expect(found).toMatchObject([
    { name: 'echo', version: 1 },
    { name: 'second', version: 1 },
  ])
  expect((await keyward(['journal', 'search', 'policy.apply'])).out).toContain('policy.apply')
})

test('an export is applied from stdin and is no change', async () => {
  const { out, code } = await keyward(['export'])
  expect(code).toBe(0)
  expect(out).toContain('kind: grant\nagent: triage\ncredential: echo\n')
  expect(await keyward(['apply', '-f', '-', '--dry-run'], { input: out })).toMatchObject({ code: 0, err: '' })
})

test('all problems are told with their places, and nothing is done', async () => {
  const text =
    'kind: agent\nname: new\n---\nkind: agent\nname: new\ncolour: red\n---\nkind: grant\nagent: nobody\ncredential: echo\nallow: []\n'
  writeFileSync(join(folder, 'wrong.yaml'), text)
  const { code, err, out } = await keyward(['apply', '-f', 'wrong.yaml'])
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(err).toMatch(/^wrong.yaml:6:1: .*colour.* \(file_invalid\)$/m)
  expect(err).toMatch(/^wrong.yaml:11:1: .*allow.* \(file_invalid\)$/m)
  expect(err).toContain('2 problems; nothing was done.')
  const inJson = await keyward(['apply', '-f', 'wrong.yaml', '--json'])
  expect(JSON.parse(inJson.out)).toMatchObject({ applied: false, problems: [{ code: 'file_invalid' }, {}] })
  expect((await keyward(['agent', 'list'])).out).not.toContain('new')
})

test('what is removed is named, and needs a person or --yes', async () => {
  const rest =
    'kind: service\nid: echo\nhosts: [echo.example.test]\ninject: { kind: bearer }\n---\nkind: agent\nname: triage\n'
  const asked = await keyward(['apply', '-f', '-', '--prune'], { input: rest })
  expect(asked.code).toBe(1)
  expect(asked.out).toContain('- credential dev/second\n    destroys 1 version(s) of its secret\n')
  expect(asked.err).toContain('person at a terminal')
  expect(JSON.parse((await keyward(['credential', 'list', '--json'])).out)).toHaveLength(2)
  expect(await keyward(['apply', '-f', '-', '--prune', '--yes'], { input: rest })).toMatchObject({ code: 0 })
  expect(JSON.parse((await keyward(['credential', 'list', '--json'])).out)).toEqual([])
})

test('a folder without files, and one that is not there, are told', async () => {
  mkdirSync(join(folder, 'empty'))
  expect(await keyward(['apply', '-f', 'empty'])).toMatchObject({ code: 2 })
  expect(await keyward(['apply', '-f', 'nosuch'])).toMatchObject({ code: 2 })
  expect(await keyward(['apply'])).toMatchObject({ code: 2 })
})

test('no secret was printed', () => {
  expect(outputs.length).toBeGreaterThan(20)
  for (const output of outputs) for (const secret of [key, other]) expect(output).not.toContain(secret)
})
