import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sessionRoot } from '../containment/session-directory.ts'

const bin = resolve('bin/keyward.cjs')
const folder = mkdtempSync(join(tmpdir(), 'keyward-cli-'))
const home = join(folder, 'home')
const key = `test-${randomBytes(24).toString('hex')}`
const outputs: string[] = []
let vendor: Server
let vendorSaw: string[] = []

interface Result {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

const environment = {
  PATH: process.env['PATH'] ?? '',
  HOME: folder,
  KEYWARD_HOME: home,
  KEYWARD_GATEWAY: '127.0.0.1:0',
}

/** Without blocking the loop, because the vendor lives in this process. */
function keyward(
  args: readonly string[],
  options: { input?: string; variables?: Record<string, string>; cwd?: string } = {},
): Promise<Result> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [bin, ...args], {
      cwd: options.cwd ?? folder,
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

async function whenReady(child: ChildProcess): Promise<void> {
  for await (const chunk of child.stdout ?? []) if (String(chunk).includes('gateway is')) return
}

beforeAll(async () => {
  vendor = createServer((request, response) => {
    vendorSaw.push(request.headers.authorization ?? '')
    const right = request.headers.authorization === `Bearer ${key}`
    response
      .writeHead(right ? 200 : 401, { 'content-type': 'text/plain' })
      .end(`${right ? 'welcome' : 'wrong key'} ${request.headers.authorization}\n`)
  })
  await new Promise<void>((done) => vendor.listen(0, '127.0.0.1', done))
})

afterAll(async () => {
  await keyward(['down'])
  vendor.close()
  vendor.closeAllConnections()
  rmSync(folder, { recursive: true, force: true })
})

describe('without a server', () => {
  test('help and version are quick and need nothing', async () => {
    expect(await keyward(['--version'])).toMatchObject({ code: 0, err: '' })
    const help = await keyward(['--help'])
    expect(help.code).toBe(0)
    for (const noun of [
      'up',
      'run',
      'status',
      'import',
      'env',
      'service',
      'credential',
      'agent',
      'grant',
      'session',
      'journal',
      'config',
      'completion',
    ]) {
      expect(help.out).toContain(`  ${noun}`)
    }
  })

  test.each([
    [[], 2],
    [['nosuch'], 2],
    [['credential'], 2],
    [['credential', 'add', 'x'], 2],
    [['credential', 'list', '--nosuch'], 2],
    [['grant', 'add', '--agent', 'a', '--credential', 'c'], 2],
    [['completion', 'tcsh'], 2],
    [['status'], 3],
    [['credential', 'list'], 3],
    [['run'], 125],
    [['run', '--contain', 'weird', '--', 'true'], 125],
  ] as const)('%j ends with %i', async (args, code) => {
    const result = await keyward(args)
    expect(result.code).toBe(code)
    expect(result.out).toBe('')
    expect(result.err).toMatch(/^next: /m)
    expect(result.err).not.toMatch(/\bat .*:\d+/)
  })

  test('--json gives the problem as JSON', async () => {
    const { code, err } = await keyward(['status', '--json'])
    expect(code).toBe(3)
    expect(JSON.parse(err)).toMatchObject({ code: 'server_unreachable', status: 503 })
  })

  test('a secret typed in the place of an argument is not repeated', async () => {
    const { code, err } = await keyward(['credential', 'add', 'x', key, '--service', 'openai'])
    expect(code).toBe(2)
    expect(err).not.toContain(key)
  })

  test.each(['bash', 'zsh', 'fish'])('completion for %s', async (shell) => {
    const { code, out } = await keyward(['completion', shell])
    expect(code).toBe(0)
    for (const word of ['credential', 'reveal', 'sensitivity']) expect(out).toContain(word)
    expect(out).not.toContain('ephemeral')
  })

  test('the bash script completes nouns, verbs and options', async () => {
    const script = join(folder, 'completion.bash')
    writeFileSync(script, (await keyward(['completion', 'bash'])).out)
    const complete = (...words: string[]): string[] => {
      const text = `. ${script}; COMP_WORDS=(keyward ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _keyward; printf '%s\\n' "\${COMPREPLY[@]}"`
      return spawnSync('bash', ['-c', text], { encoding: 'utf8' }).stdout.trim().split('\n')
    }
    expect(complete('cred')).toEqual(['credential'])
    expect(complete('credential', 're')).toEqual(['reveal', 'resume', 'remove'])
    expect(complete('credential', 'add', '--sens')).toEqual(['--sensitivity'])
    expect(complete('credential', 'add', 'name', '--sens')).toEqual(['--sensitivity'])
  })

  test('config show says where each setting comes from', async () => {
    const { out } = await keyward(['config', 'show', '--json'])
    expect(JSON.parse(out)).toMatchObject({
      home: { value: home, origin: 'variable' },
      strictJournal: { value: false, origin: 'default' },
    })
  })
})

describe('with a server', () => {
  let server: ChildProcess

  beforeAll(async () => {
    server = spawn(process.execPath, [bin, 'up'], {
      env: { ...environment, STRAY_SECRET: key },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await whenReady(server)
    const { port } = Object(vendor.address())
    writeFileSync(
      join(folder, 'vendor.yaml'),
      `id: vendor\nname: Vendor\nhosts: [vendor.example.test]\nendpoint: http://127.0.0.1:${port}\ninject: { kind: bearer }\nvariables: { key: VENDOR_API_KEY, baseUrl: VENDOR_BASE_URL }\n`,
    )
  })

  test('its process carries none of the variables that it does not need', () => {
    if (process.platform !== 'linux') return
    expect(readFileSync(`/proc/${server.pid}/environ`, 'latin1')).not.toContain(key)
  })

  test('its socket and log are for their owner alone', () => {
    expect(statSync(join(home, 'control.sock')).mode & 0o777).toBe(0o600)
    expect(statSync(join(home, 'log')).mode & 0o777).toBe(0o600)
    expect(statSync(home).mode & 0o777).toBe(0o700)
  })

  test('a second server is refused', async () => {
    const { code, err } = await keyward(['up'])
    expect(code).toBe(1)
    expect(err).toContain('Another Keyward serves this home.')
  })

  test('a credential comes from stdin, a file or a variable, and never from the command line', async () => {
    expect((await keyward(['service', 'add', 'vendor.yaml'])).code).toBe(0)
    const literal = await keyward(['credential', 'add', 'vendor', '--service', 'vendor', '--field', `key=${key}`])
    expect(literal.code).toBe(2)
    expect(literal.err).toContain('command line')
    expect(literal.err).not.toContain(key)
    expect(
      (await keyward(['credential', 'add', 'vendor', '--service', 'vendor', '--stdin'], { input: `${key}\n` })).code,
    ).toBe(0)
    writeFileSync(join(folder, 'second'), `${randomBytes(16).toString('hex')}\n`)
    expect((await keyward(['credential', 'add', 'second', '--service', 'vendor', '--from-file', 'second'])).code).toBe(
      0,
    )
    const variables = { OTHER: randomBytes(16).toString('hex') }
    expect((await keyward(['credential', 'set', 'second', '--field', 'key=env:OTHER'], { variables })).out).toContain(
      'version 2',
    )
    expect(
      (await keyward(['credential', 'add', 'vendor', '--service', 'vendor', '--stdin'], { input: 'another-value' }))
        .code,
    ).toBe(1)
    expect(
      (await keyward(['credential', 'add', 'again', '--service', 'vendor', '--env', 'prod', '--stdin'], { input: key }))
        .err,
    ).toContain('another environment')
  })

  test('a reader that closes the pipe ends nothing badly', () => {
    const { stderr, status } = spawnSync('sh', ['-c', `"${process.execPath}" "${bin}" completion bash | true`], {
      env: environment,
      encoding: 'utf8',
    })
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  })

  test('lists and shows in words and in JSON', async () => {
    const list = await keyward(['credential', 'list', '--json'])
    expect(JSON.parse(list.out).map((one: { name: string }) => one.name)).toEqual(['second', 'vendor'])
    expect((await keyward(['credential', 'list'])).out).toMatch(/^NAME .*\nsecond .*\nvendor /)
    expect((await keyward(['credential', 'show', 'vendor'])).out).toContain('v1')
    expect(JSON.parse((await keyward(['status', '--json'])).out)).toMatchObject({ home, ephemeral: false })
    expect((await keyward(['service', 'show', 'vendor'])).out).toContain('VENDOR_API_KEY')
    expect((await keyward(['credential', 'show', 'nosuch'])).code).toBe(1)
  })

  test('reveal needs a person at a terminal', async () => {
    const { code, out, err } = await keyward(['credential', 'reveal', 'vendor'], { input: 'vendor\n' })
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain('person at a terminal')
  })

  test('run: the vendor sees the key, the program sees a placeholder', async () => {
    expect((await keyward(['agent', 'add', 'triage'])).code).toBe(0)
    expect(
      (
        await keyward([
          'grant',
          'add',
          '--agent',
          'triage',
          '--credential',
          'vendor',
          '--allow',
          '*',
          '--rate',
          '60/min',
        ])
      ).code,
    ).toBe(0)
    const program = `const { VENDOR_API_KEY: held, VENDOR_BASE_URL: base } = process.env
      const answer = await fetch(base + '/me', { headers: { authorization: 'Bearer ' + held } })
      console.log(answer.status, await answer.text())
      console.log(JSON.stringify(process.env))
      process.exitCode = 42`
    const { code, out, err } = await keyward(
      ['run', '--agent', 'triage', '--', process.execPath, '--input-type=module', '-e', program],
      {
        variables: { STRAY: key, LANG: key },
      },
    )
    expect(err).not.toContain('error')
    expect(out).toContain('200 welcome')
    expect(out).toContain('kwp')
    expect(code).toBe(42)
    expect(vendorSaw).toEqual([`Bearer ${key}`])
    vendorSaw = []
    const sessions = JSON.parse((await keyward(['session', 'list', '--json'])).out)
    expect(sessions).toEqual([])
  })

  test('run lays the files of a known program where other agents see nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'keyward-program-'))
    writeFileSync(join(folder, 'claude'), '#!/bin/sh\necho "$CLAUDE_CONFIG_DIR"\n', { mode: 0o755 })
    const ran = await keyward(['run', '--agent', 'triage', '--contain', 'none', '--', join(folder, 'claude')])
    rmSync(folder, { recursive: true })
    expect(ran.out.trim().startsWith(`${sessionRoot()}/`)).toBe(true)
  })

  test('run: the child’s end is run’s end', async () => {
    expect((await keyward(['run', '--agent', 'triage', '--', 'sh', '-c', 'exit 3'])).code).toBe(3)
    expect((await keyward(['run', '--agent', 'triage', '--', 'sh', '-c', 'kill -TERM $$'])).code).toBe(143)
    expect((await keyward(['run', '--agent', 'triage', '--contain', 'none', '--', 'nosuchprogram'])).code).toBe(127)
    const missing = await keyward(['run', '--', './nosuchprogram'])
    expect(missing).toMatchObject({ code: 127, err: 'keyward: ./nosuchprogram: there is no such program.\n' })
    expect((await keyward(['agent', 'list'])).out).not.toContain('nosuchprogram')
    const none = await keyward(['run', '--agent', 'triage', '--contain', 'none', '--', 'true'])
    expect(none.err).toContain('no boundary')
    expect((await keyward(['run', '--agent', 'triage', '--', 'cat'], { input: 'passed on' })).out).toBe('passed on')
  })

  test('a session is bound to an address where that is asked for, and shown as unbound where it is not', async () => {
    const ask = async (...args: string[]): Promise<string> =>
      (await keyward(['session', 'issue', '--agent', 'triage', ...args])).out
    expect(await ask()).toMatch(/^bound +unbound/m)
    expect(await ask('--bind', '::FFFF:192.0.2.7')).toMatch(/^bound +address/m)
    const listed = (await keyward(['session', 'list', '--agent', 'triage'])).out
    expect(listed).toMatch(/ unbound /)
    expect(listed).toMatch(/ address 192\.0\.2\.7 /)
    const wrong = await keyward(['session', 'issue', '--agent', 'triage', '--bind', 'example.test'])
    expect(wrong).toMatchObject({ code: 2, out: '' })
    expect(wrong.err).toContain('must be an IPv4 or IPv6 address')
    for (const { id } of JSON.parse((await keyward(['session', 'list', '--json'])).out))
      expect((await keyward(['session', 'revoke', id])).code).toBe(0)
  })

  test('a session is narrowed without a server, and what is left gets placeholders from the gateway', async () => {
    const issued = JSON.parse((await keyward(['session', 'issue', '--agent', 'triage', '--json'])).out)
    const nowhere = { KEYWARD_TOKEN: issued.token, KEYWARD_HOME: join(folder, 'no-such-home') }
    const narrow = async (args: string[], options: Parameters<typeof keyward>[1]): Promise<Result> =>
      keyward(['session', 'narrow', ...args], options)
    const first = JSON.parse((await narrow(['--allow', 'GET /**', '--json'], { variables: nowhere })).out)
    const second = await narrow(['--credential', 'nothing', '--uses', '3'], { input: `${first.token}\n` })
    expect(second.out).toMatch(/^kwn_[\w-]+\n$/)
    expect((await narrow([], { variables: nowhere })).code).toBe(2)
    expect((await narrow(['--uses', '1'], { input: 'nonsense' })).err).toContain('not one that Keyward issued')
    const { gateway } = issued
    const env = (token: string) =>
      keyward(['env', '--narrowed', '--format', 'json'], {
        variables: { KEYWARD_GATEWAY: gateway.address, KEYWARD_TOKEN: token },
      })
    const variables = JSON.parse((await env(first.token)).out)
    expect(variables).toMatchObject({
      VENDOR_API_KEY: expect.stringContaining('kwp'),
      HTTPS_PROXY: `http://session:${first.token}@${gateway.address}`,
    })
    expect(JSON.parse((await env(second.out.trim())).out)).not.toHaveProperty('VENDOR_API_KEY')
    const shown = await keyward(['session', 'show', issued.id])
    expect(shown.out).toContain(first.id)
    expect(shown.out).toContain('only GET /**')
    expect((await keyward(['session', 'revoke', first.id])).code).toBe(0)
    expect((await env(second.out.trim())).err).toContain('was revoked')
    expect((await keyward(['session', 'revoke', issued.id])).code).toBe(0)
  })

  test('env prints placeholders in three spellings', async () => {
    const json = await keyward(['env', '--agent', 'triage', '--format', 'json'])
    expect(JSON.parse(json.out)).toMatchObject({
      VENDOR_API_KEY: expect.stringContaining('kwp'),
      HTTPS_PROXY: expect.stringContaining('kws_'),
    })
    expect((await keyward(['env', '--agent', 'triage'])).out).toMatch(/^export VENDOR_API_KEY='/m)
    expect((await keyward(['env', '--agent', 'triage', '--format', 'dotenv'])).out).toMatch(/^VENDOR_API_KEY='/m)
  })

  test('import leaves references, run resolves them, undo brings the values back', async () => {
    const imported = `test-${randomBytes(24).toString('hex')}`
    const file = join(folder, 'project.env')
    const before = `# settings\nPORT=3000\nexport GROQ_API_KEY="${imported}" # mine\n`
    writeFileSync(file, before, { mode: 0o640 })
    expect((await keyward(['import', 'project.env'])).code).toBe(1)
    expect(readFileSync(file, 'utf8')).toBe(before)
    expect((await keyward(['import', 'project.env', '--yes'])).code).toBe(0)
    expect(readFileSync(file, 'utf8')).toBe('# settings\nPORT=3000\nexport GROQ_API_KEY=keyward:groq # mine\n')
    expect(statSync(file).mode & 0o777).toBe(0o640)
    await keyward(['grant', 'add', '--agent', 'triage', '--credential', 'groq', '--allow', '*'])
    const run = await keyward(['run', '--agent', 'triage', '--', 'sh', '-c', 'echo "$MY_KEY"'], {
      variables: { MY_KEY: 'keyward:groq' },
    })
    expect(run.out).toContain('kwp')
    expect((await keyward(['import', 'project.env', '--undo', '--yes'])).code).toBe(0)
    expect(readFileSync(file, 'utf8')).toBe(before.replaceAll('"', ''))
    expect((await keyward(['journal', 'search', 'reveal'])).out).toContain('groq')
    expect((await keyward(['import', 'project.env', '--yes'])).code).toBe(0)
    expect(readFileSync(file, 'utf8')).toContain('GROQ_API_KEY=keyward:groq #')
    expect((await keyward(['credential', 'list'])).out).not.toContain('groq-2')
  })

  test('adoption without a terminal names the commands; with --adopt it takes new keys only', async () => {
    const variables = { TAVILY_API_KEY: `tvly-${randomBytes(20).toString('hex')}` }
    const refused = await keyward(['run', '--env', 'staging', '--', 'true'], { variables })
    expect(refused.code).toBe(125)
    expect(refused.err).toContain(
      'keyward credential add tavily --service tavily --env staging --from-variable TAVILY_API_KEY',
    )
    expect(refused.err).not.toContain(variables.TAVILY_API_KEY)
    const adopted = await keyward(['run', '--env', 'staging', '--adopt', '--', 'sh', '-c', 'echo $TAVILY_API_KEY'], {
      variables,
    })
    expect(adopted.code).toBe(0)
    expect(adopted.out).toContain('kwp')
    expect((await keyward(['run', '--env', 'staging', '--adopt', '--', 'true'], { variables })).code).toBe(0)
    expect(JSON.parse((await keyward(['credential', 'list', '--env', 'staging', '--json'])).out)).toHaveLength(1)
    const other = ['run', '--env', 'staging', '--agent', 'second', '--adopt', '--', 'sh', '-c', 'echo $TAVILY_API_KEY']
    const second = await keyward(other, { variables })
    expect(second.out, second.err).toContain('kwp')
    expect(second.err).toContain('agent second may use it now')
    expect((await keyward(other, { variables })).err).not.toContain('may use it now')
    outputs.push(second.out, second.err)
    expect(adopted.err).toContain('TAVILY_API_KEY')
    outputs.push(refused.err, adopted.out, adopted.err)
    for (const output of outputs) expect(output).not.toContain(variables.TAVILY_API_KEY)
  })

  test('the credential that a first start brings does not stand for one: keys are still found, but not for its own agent', async () => {
    const file = join(folder, 'sample.yaml')
    writeFileSync(file, 'id: sample\nhosts: [sample.example.test]\ninject: { kind: bearer }\n')
    const sample = ['--env', 'prod', '--agent', 'sample']
    const variables = { TAVILY_API_KEY: `tvly-${randomBytes(20).toString('hex')}` }
    await keyward(['service', 'add', file])
    const input = `test-${randomBytes(24).toString('hex')}`
    await keyward(['credential', 'add', 'sample', '--service', 'sample', '--env', 'prod', '--stdin'], { input })
    await keyward(['agent', 'add', 'sample', '--env', 'prod'])
    await keyward(['grant', 'add', ...sample, '--credential', 'sample', '--allow', '*'])
    const other = await keyward(['run', '--env', 'prod', '--', 'true'], { variables })
    expect(other.code).toBe(125)
    expect(other.err).toContain('TAVILY_API_KEY (tavily')
    expect((await keyward(['run', ...sample, '--', 'true'], { variables })).code).toBe(0)
  })

  test('suspension is refused to the agent; journal search finds it; the journal verifies, with and without a server', async () => {
    expect((await keyward(['credential', 'suspend', 'vendor'])).code).toBe(0)
    const call =
      'const answer = await fetch(process.env.VENDOR_BASE_URL + "/me", { headers: { authorization: "Bearer " + process.env.VENDOR_API_KEY } }); console.log(answer.status, await answer.text())'
    const run = await keyward(['run', '--agent', 'triage', '--', process.execPath, '--input-type=module', '-e', call])
    expect(run.out).toContain('credential_suspended')
    expect(vendorSaw).toEqual([])
    expect((await keyward(['journal', 'search', 'credential_suspended'])).code).toBe(0)
    expect((await keyward(['journal', 'search', 'nothing-of-that-kind'])).code).toBe(1)
    expect((await keyward(['journal', 'tail', '-n', '2', '--json'])).out.trim().split('\n')).toHaveLength(2)
    expect((await keyward(['journal', 'verify'])).code).toBe(0)
    expect((await keyward(['down'])).code).toBe(0)
    await new Promise((done) => (server.exitCode === null ? server.once('exit', done) : done(null)))
    expect(server.exitCode).toBe(0)
    expect(JSON.parse((await keyward(['journal', 'verify', '--json'])).out)).toMatchObject({ ok: true })
  })

  test('a run without a server starts one that ends by itself', async () => {
    const { code, err } = await keyward(['run', '--agent', 'triage', '--', 'true'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(JSON.parse((await keyward(['status', '--json'])).out)).toMatchObject({ ephemeral: true })
  })

  test('no output, log or journal entry held the key', async () => {
    const log = readFileSync(join(home, 'log'), 'utf8')
    const { out } = await keyward(['journal', 'tail', '-n', '10000', '--json'])
    for (const text of [...outputs, log, out]) expect(text).not.toContain(key)
  })
})
