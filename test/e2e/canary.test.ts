import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import process from 'node:process'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Command } from 'commander'
import { createProgram } from '../../src/cli/program.ts'
import { filesUnder, openHouse, serviceYaml } from '../harness.ts'
import type { House, Outcome, RunOptions, Server } from '../harness.ts'
import { proxyHeader, rawRequest } from '../raw-request.ts'
import { startEcho, ways } from './canary/echo.ts'
import type { EchoUpstream } from './canary/echo.ts'
import { disguises, findLeaks, makeSecrets } from './canary/secrets.ts'

/**
 * The canary (DESIGN, tests): known secrets are sealed by every way in, everything is driven, and every
 * output is searched for them in every encoding. Only `reveal`, to a person on a terminal, may show one.
 */

const secrets = makeSecrets()
const services = {
  'c-bearer': 'inject: { kind: bearer }\nvariables: { key: C_BEARER_API_KEY, baseUrl: C_BEARER_BASE_URL }',
  'c-basic':
    'fields: { user: secret, password: secret }\ninject: { kind: basic, userField: user, passwordField: password }\nvariables: { user: C_USER, password: C_PASSWORD }',
  'c-header': 'inject: { kind: header, name: x-canary-key }\nvariables: { key: C_HEADER_KEY }',
  'c-query': 'inject: { kind: query, name: key }\nvariables: { key: C_QUERY_KEY }',
  'c-path': 'inject: { kind: path, template: "/bot{key}" }\nvariables: { key: C_PATH_KEY }',
  'c-pem': 'inject: { kind: bearer }\nvariables: { key: C_PEM }',
  'c-json': 'inject: { kind: header, name: x-canary-key }\nvariables: { key: C_JSON }',
} as const
type ServiceId = keyof typeof services

let house: House
let server: Server
let upstream: EchoUpstream
let session: {
  token: string
  caCertificate: string
  gateway: { socket: string | null }
  credentials: { name: string; fields: { field: string; text: string }[] }[]
}
/** Everything else that was received: answers, /proc, files at the time. */
const received: { readonly where: string; readonly bytes: Buffer }[] = []
const driven = new Set<string>()

/** Runs a command line and remembers which command it was. */
async function drive(args: readonly string[], options?: RunOptions): Promise<Outcome> {
  const outcome = await house.keyward(args, options)
  driven.add(
    [
      ...args.filter((arg) => /^[a-z]+(?:-[a-z]+)*$/.test(arg)).slice(0, 2),
      ...(args.includes('--json') ? ['--json'] : []),
    ].join(' '),
  )
  return outcome
}

async function done(args: readonly string[], options?: RunOptions): Promise<Outcome> {
  const outcome = await drive(args, options)
  expect(outcome.code, `${args.join(' ')}: ${outcome.out}${outcome.err}`).toBe(0)
  return outcome
}

function keep(where: string, bytes: Buffer): void {
  received.push({ where, bytes })
}

function leaksOf(all: readonly { readonly where: string; readonly bytes: Buffer }[]): string[] {
  return all.flatMap(({ where, bytes }) =>
    findLeaks(bytes, secrets)
      .slice(0, 2)
      .map((leak) => `${where}: ${leak}`),
  )
}

function leaksSoFar(): string[] {
  return [
    ...leaksOf(received),
    ...leaksOf(house.outputs.map(({ command, bytes }) => ({ where: `keyward ${command}`, bytes }))),
  ]
}

const placeholder = (name: ServiceId, field = 'key'): string =>
  session.credentials.find((one) => one.name === name)?.fields.find((one) => one.field === field)?.text ?? ''

/** Where the agent puts its placeholder for each service, at a path of the upstream. */
function callOf(id: ServiceId, path: string): { target: string; headers: Record<string, string> } {
  const held = placeholder(id)
  if (id === 'c-basic')
    return {
      target: path,
      headers: { authorization: `Basic ${Buffer.from(`any:${placeholder(id, 'password')}`).toString('base64')}` },
    }
  if (id === 'c-header' || id === 'c-json') return { target: path, headers: { 'x-canary-key': held } }
  if (id === 'c-query') return { target: `${path}?key=${held}`, headers: {} }
  if (id === 'c-path') return { target: `/bot${held}${path}`, headers: {} }
  return { target: path, headers: { authorization: `Bearer ${held}` } }
}

describe.skipIf(process.platform !== 'linux')('no output holds a secret', { timeout: 300_000 }, () => {
  beforeAll(async () => {
    house = openHouse()
    upstream = await startEcho()
    // A soft limit that allows core files is an ordinary user's right; Keyward must not leave one.
    server = await house.up({ before: ['prlimit', '--core=unlimited'] })
  })

  afterAll(async () => {
    upstream?.close()
    await house?.close()
  })

  test('the search finds what is planted: every secret in every disguise, in files, compressed answers and split text', () => {
    for (const [name, secret] of Object.entries(secrets)) {
      for (const [way, disguise] of Object.entries(disguises)) {
        const found = findLeaks(Buffer.from(`before ${disguise(secret)} after`), { [name]: secret })
        expect(found, `${name} as ${way}`).not.toEqual([])
      }
    }
    const body = gzipSync(`key=${secrets.bearer}`)
    const answer = Buffer.concat([
      Buffer.from(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`),
      body,
    ])
    expect(findLeaks(answer, secrets)).toContain('bearer as text')
    const planted = house.write('planted', `{"x":"${secrets.bearer.slice(4, 30)}"}`)
    expect(leaksOf(filesUnder(house.folder).map(({ path, bytes }) => ({ where: path, bytes })))).toEqual([
      expect.stringContaining('planted: bearer as a piece'),
    ])
    rmSync(planted)
    expect(leaksOf(filesUnder(house.folder).map(({ path, bytes }) => ({ where: path, bytes })))).toEqual([])
    expect(findLeaks(Buffer.from('nothing to see'), secrets)).toEqual([])
  })

  test('sealed by stdin, file, variable and fields', async () => {
    for (const [id, more] of Object.entries(services)) {
      house.write(`${id}.yaml`, serviceYaml(id, upstream.port, more))
      await done(['service', 'add', `${id}.yaml`, ...(id === 'c-pem' ? ['--json'] : [])])
    }
    const add = (id: string, ...more: string[]): string[] => ['credential', 'add', id, '--service', id, ...more]
    await done(add('c-bearer', '--stdin', '--json'), { input: secrets.bearer })
    house.write('user', `${secrets.user}\n`)
    await done(add('c-basic', '--field', 'user=@user', '--field', 'password=env:PASS'), {
      variables: { PASS: secrets.password },
    })
    house.write('header', secrets.header)
    await done(add('c-header', '--from-file', 'header', '--owner', 'ada@example.test', '--sensitivity', 'high'))
    await done(add('c-query', '--from-variable', 'Q'), { variables: { Q: secrets.query } })
    await done(add('c-path', '--field', 'key=-'), { input: `${secrets.path}\n` })
    house.write('pem', `${secrets.pem}\n`)
    await done(add('c-pem', '--from-file', 'pem'))
    await done(add('c-json', '--stdin'), { input: secrets.json })
    for (const name of ['user', 'header', 'pem']) rmSync(join(house.work, name))
    expect(leaksSoFar()).toEqual([])
  })

  test('sealed by import, which takes the secret out of the file', async () => {
    const file = house.write('project.env', `PORT=1\nGROQ_API_KEY='${secrets.imported}'\n`)
    await drive(['import', 'project.env'])
    await done(['import', 'project.env', '--yes'])
    expect(readFileSync(file, 'utf8')).toBe('PORT=1\nGROQ_API_KEY=keyward:groq\n')
    expect(leaksSoFar()).toEqual([])
  })

  test('the same secret in two environments, or in the wrong place of the command line, is refused without being repeated', async () => {
    // In capitals too, so that it is no name that a record could have.
    const s = secrets.header
    await drive(['credential', 'add', 'again', '--service', 'c-bearer', '--env', 'prod', '--stdin'], {
      input: secrets.bearer,
    })
    await drive(['credential', 'add', 'broken', '--service', 'c-bearer', '--stdin'], { input: `${s}\n${s}` })
    await drive(['credential', 'add', 'c-bearer', '--service', 'c-bearer', '--stdin', '--json'], {
      input: secrets.rotated,
    })
    const wrong: string[][] = [
      [s],
      [`--${s}`],
      ['status', s],
      ['status', `--home=${s}`],
      ['down', s],
      ['up', '--gateway', s],
      ['up', s],
      ['run', '--contain', s, '--', 'true'],
      ['run', '--egress', s, '--', 'true'],
      ['run', '--agent', s, '--env', s, '--', 'true'],
      ['doctor', '--contain', s],
      ['env', '--agent', s],
      ['env', '--agent', 'canary', '--ttl', s],
      ['env', '--agent', 'canary', '--format', s],
      ['import', s],
      ['import', '--env', s, 'project.env', '--yes'],
      ['service', 'show', s],
      ['service', 'add', s],
      ['service', 'remove', s],
      ['credential', s],
      ['credential', 'add', s],
      ['credential', 'add', s, '--service', 'c-bearer', '--stdin'],
      ['credential', 'add', 'x', s, '--service', 'c-bearer'],
      ['credential', 'add', 'x', '--service', s, '--stdin'],
      ['credential', 'add', 'x', '--service', 'c-bearer', '--field', s],
      ['credential', 'add', 'x', '--service', 'c-bearer', '--field', `key=${s}`],
      ['credential', 'add', 'x', '--service', 'c-bearer', '--field', `${s}=-`],
      ['credential', 'add', 'x', '--service', 'c-bearer', '--from-file', s],
      ['credential', 'add', 'x', '--service', 'c-bearer', '--from-variable', s],
      ['credential', 'add', 'x', '--service', 'c-bearer', '--stdin', '--env', s],
      ['credential', 'add', 'x', '--service', 'c-bearer', '--stdin', '--sensitivity', s],
      ['credential', 'show', s],
      ['credential', 'set', s, '--stdin'],
      ['credential', 'set', 'c-bearer', '--from-file', s],
      ['credential', 'suspend', s],
      ['credential', 'remove', s, '--yes'],
      ['credential', 'reveal', 'c-bearer', '--field', s],
      ['agent', 'add', s, s],
      ['agent', 'show', s],
      ['grant', 'add', '--agent', s, '--credential', s, '--allow', '*'],
      ['grant', 'add', '--agent', 'canary', '--credential', 'c-bearer', '--allow', '*', '--rate', s],
      ['grant', 'add', '--agent', 'canary', '--credential', 'c-bearer', '--allow', '*', '--expires', s],
      ['grant', 'show', s],
      ['session', 'revoke', s],
      ['session', 'issue', '--agent', s],
      ['journal', 'tail', '-n', s],
      ['journal', 'search', s],
      ['journal', 'search', '--kind', s],
      ['config', s],
      ['completion', s],
    ]
    for (const [index, args] of wrong.entries()) {
      const outcome = await house.keyward(index % 2 === 0 ? args : [...args.slice(0, 1), ...args.slice(1), '--json'], {
        input: 'no-secret-at-all',
      })
      expect(outcome.code, args.join(' ').replaceAll(s, 'S')).not.toBe(0)
      expect(outcome.err).not.toMatch(/^\s+at /m)
    }
    // The command is what the person typed; what came back is what counts.
    expect(leaksOf(house.outputs.map(({ command, bytes }) => ({ where: command.replaceAll(s, 'S'), bytes })))).toEqual(
      [],
    )
  })

  test('every command, in words and as JSON', async () => {
    await done(['agent', 'add', 'canary', '--owner', 'ada@example.test', '--json'])
    for (const id of [...Object.keys(services), 'groq'])
      await done(['grant', 'add', '--agent', 'canary', '--credential', id, '--allow', '*', '--json'])
    await done(['agent', 'add', 'other'])
    await done([
      'grant',
      'add',
      '--agent',
      'other',
      '--credential',
      'c-bearer',
      '--allow',
      'GET /**',
      '--deny',
      'GET /no/**',
      '--rate',
      '60/min',
      '--concurrent',
      '4',
      '--expires',
      '30d',
    ])
    house.write('policy.yaml', 'kind: agent\nname: from-a-file\n')
    const leaky = house.write(
      'leaky.yaml',
      `kind: credential\nname: leaky\nservice: c-bearer\nfrom: { key: "${secrets.bearer}" }\n`,
    )
    for (const json of [[], ['--json']]) {
      for (const noun of ['service', 'credential', 'agent', 'grant', 'session', 'approval'])
        await done([noun, 'list', ...json])
      for (const id of Object.keys(services)) {
        await done(['service', 'show', id, ...json])
        await done(['credential', 'show', id, ...json])
      }
      await done(['credential', 'list', '--env', 'dev', ...json])
      await done(['agent', 'show', 'canary', ...json])
      await done(['credential', 'set', 'c-bearer', '--stdin', ...json], {
        input: json.length === 0 ? secrets.rotated : secrets.bearer,
      })
      await done(['status', ...json])
      await done(['config', 'show', ...json])
      await done(['session', 'issue', '--agent', 'other', '--ttl', '15m', '--egress', 'deny', ...json])
      await done(['journal', 'tail', '-n', '10000', ...json])
      await done(['journal', 'search', 'credential', ...json])
      await done(['journal', 'verify', ...json])
      await done(['journal', 'export'])
      await done(['journal', 'export', '--format', 'ocsf'])
      await done(['journal', 'prune', '--keep', '90d', '--yes', ...json])
      await done(['export'])
      await done(['apply', '-f', 'policy.yaml', ...json])
      // A key where a reference belongs is refused, and not repeated.
      await drive(['apply', '-f', 'leaky.yaml', '--dry-run', ...json])
      const grants: { id: string; agent: string }[] = JSON.parse((await done(['grant', 'list', '--json'])).out)
      await done(['grant', 'show', grants[0]?.id ?? '', ...json])
      await done(['session', 'list', '--all', '--agent', 'other', ...json])
    }
    rmSync(leaky)
    for (const noun of ['credential', 'agent']) {
      const name = noun === 'agent' ? 'other' : 'c-pem'
      await done([noun, 'suspend', name])
      await done([noun, 'resume', name])
    }
    const [one]: { id: string }[] = JSON.parse((await done(['session', 'list', '--json'])).out)
    for (const verb of ['suspend', 'resume', 'revoke']) await done(['session', verb, one?.id ?? ''])
    const grant: { id: string } = JSON.parse(
      (await done(['grant', 'add', '--agent', 'other', '--credential', 'c-header', '--allow', '*', '--json'])).out,
    )
    await done(['grant', 'remove', grant.id])
    await done(['credential', 'add', 'short-lived', '--service', 'c-bearer', '--stdin'], {
      input: secrets.rotated.toUpperCase(),
    })
    await drive(['credential', 'remove', 'short-lived'])
    await done(['credential', 'remove', 'short-lived', '--cascade', '--yes'])
    await done(['agent', 'add', 'gone'])
    await done(['agent', 'remove', 'gone'])
    house.write('gone.yaml', serviceYaml('gone', upstream.port))
    await done(['service', 'add', 'gone.yaml'])
    await done(['service', 'remove', 'gone'])
    for (const shell of ['bash', 'zsh', 'fish']) await done(['completion', shell])
    for (const format of ['sh', 'json', 'dotenv']) await done(['env', '--agent', 'canary', '--format', format])
    await drive(['credential', 'reveal', 'c-bearer'], { input: 'c-bearer\n' })
    await drive(['doctor'])
    await drive(['doctor', '--json'])
    expect(leaksSoFar()).toEqual([])
  })

  test('the gateway, by every door, with an upstream that gives back all that it hears', async () => {
    session = JSON.parse((await done(['session', 'issue', '--agent', 'canary', '--egress', 'open', '--json'])).out)
    const { port } = server
    for (const id of Object.keys(services).filter(isService)) {
      const expectedAnswer = id === 'c-pem' ? 500 : 200
      const plain = callOf(id, '/plain')
      const byBase = await rawRequest({ port, target: `/s/${id}${plain.target}`, headers: plain.headers })
      expect(byBase.status, `${id}: ${byBase.body.toString()}`).toBe(expectedAnswer)
      keep(`${id} by base URL`, byBase.bytes)
      const host = `${id}.example.test`
      const absolute = await rawRequest({
        port,
        target: `http://${host}${plain.target}`,
        headers: {
          ...plain.headers,
          host,
          'proxy-authorization': proxyHeader(session.token).slice('proxy-authorization: '.length).trim(),
        },
      })
      expect(absolute.status, absolute.body.toString()).toBe(expectedAnswer)
      keep(`${id} in absolute form`, absolute.bytes)
      for (const [authority, ca] of [
        [`${host}:443`, session.caCertificate],
        [`${host}:80`, null],
      ] as const) {
        const tunnelled = await rawRequest({
          port,
          target: plain.target,
          headers: { ...plain.headers, host },
          tunnel: { authority, token: session.token, ca },
        })
        expect(tunnelled.status, tunnelled.body.toString()).toBe(expectedAnswer)
        keep(`${id} by CONNECT ${authority}`, tunnelled.bytes)
      }
      keep(`${id} by the socket`, await throughSocket(id))
      const socket = callOf(id, '/socket')
      const messages = await rawRequest({
        port,
        target: `/s/${id}${socket.target}`,
        headers: {
          ...socket.headers,
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
        },
      })
      expect(messages.status, `${id}: ${messages.body.toString()}`).toBe(id === 'c-pem' ? 500 : 101)
      keep(`${id} by WebSocket`, messages.bytes)
      for (const way of ways) {
        const { target, headers } = callOf(id, `/as/${way}`)
        const answer = await rawRequest({ port, target: `/s/${id}${target}`, headers }).catch((error: unknown) => error)
        if (answer instanceof Error) keep(`${id} as ${way}`, Buffer.from(answer.message))
        else if (typeof answer === 'object' && answer !== null && 'bytes' in answer && Buffer.isBuffer(answer.bytes))
          keep(`${id} as ${way}`, answer.bytes)
      }
    }
    // The upstream did hear the real ones, or nothing would have been tried.
    const heard = Buffer.from(upstream.heard.join('\n'), 'latin1')
    const reached = new Set(findLeaks(heard, secrets).map((leak) => leak.split(' ')[0]))
    expect([...reached].toSorted()).toEqual(['bearer', 'header', 'json', 'password', 'path', 'query', 'user'])
    expect(leaksSoFar()).toEqual([])
  })

  test('what a person is shown of a request that waits, with secrets wherever the agent can put one', async () => {
    const allow = ['--allow', 'POST /asked', '--approve', 'always', '--json']
    const grant: { id: string } = JSON.parse(
      (await done(['grant', 'add', '--agent', 'canary', '--credential', 'c-json', ...allow])).out,
    )
    for (const answer of ['accept', 'refuse']) {
      const { target, headers } = callOf('c-json', '/asked')
      const held = rawRequest({
        port: server.port,
        method: 'POST',
        target: `/s/c-json${target}?x=${encodeURIComponent(secrets.bearer)}`,
        headers,
        body: `${answer} ${secrets.user} ${Buffer.from(secrets.header).toString('base64')}`,
      })
      let id = ''
      while (id === '') {
        const list: { id: string; held: boolean }[] = JSON.parse((await done(['approval', 'list', '--json'])).out)
        id = list.find((one) => one.held)?.id ?? ''
      }
      await done(['approval', 'list'])
      for (const json of [[], ['--json']]) await done(['approval', 'show', id, ...json])
      await done(['approval', answer, id])
      const { status, bytes } = await held
      expect(status).toBe(answer === 'accept' ? 200 : 403)
      keep(`approval ${answer}`, bytes)
    }
    await done(['grant', 'remove', grant.id])
    expect(leaksSoFar()).toEqual([])
  })

  test('refusals and errors of each kind, also where the agent itself sends a secret', async () => {
    const { port } = server
    const s = secrets.bearer
    const held = `Bearer ${placeholder('c-bearer')}`
    const proxy = `Basic ${Buffer.from(`session:${session.token}`).toString('base64')}`
    const calls: Parameters<typeof rawRequest>[0][] = [
      { port, target: '/s/c-bearer/x', headers: { authorization: `Bearer ${s}` } },
      { port, target: '/s/c-bearer/x' },
      { port, target: '/s/nothing/x', headers: { authorization: held } },
      { port, target: '/', headers: { authorization: held } },
      { port, target: '/s/c-header/x', headers: { 'x-canary-key': placeholder('c-bearer') } },
      { port, target: '/s/c-bearer/x', headers: { authorization: `${held.slice(0, -3)}abc` } },
      { port, target: '/s/c-bearer/../x', headers: { authorization: held } },
      { port, target: `/s/c-bearer/${encodeURIComponent(s)}`, headers: { authorization: held } },
      { port, target: `/s/c-bearer/x?key=${s}`, headers: { authorization: held, 'x-note': s, cookie: `k=${s}` } },
      {
        port,
        target: '/s/c-bearer/x',
        method: 'POST',
        body: JSON.stringify({ note: s }),
        headers: { authorization: held, 'content-type': 'application/json' },
      },
      {
        port,
        target: `http://elsewhere.example.test:81/${s}`,
        headers: { host: 'elsewhere.example.test:81', 'proxy-authorization': proxy },
      },
      {
        port,
        target: `http://c-bearer.example.test/${s}`,
        headers: { host: 'c-bearer.example.test', 'proxy-authorization': `Basic ${s}` },
      },
      {
        port,
        target: 'http://c-bearer.example.test/x',
        headers: { host: 'other.example.test', 'proxy-authorization': proxy },
      },
      { port, target: '/s/c-bearer/x', method: 'TRACE', headers: { authorization: held } },
      {
        port,
        target: '/s/c-bearer/x',
        headers: { authorization: held, upgrade: 'websocket', connection: 'close, upgrade' },
      },
      { port, target: '/s/c-bearer/x', headers: { authorization: held, 'x-http-method-override': s } },
      { port, target: `/${s} HTTP/9.9\r\nx:`, headers: {} },
      { port, target: '/', tunnel: { authority: `${s}.example.test:443`, token: session.token, ca: null } },
      { port, target: '/', tunnel: { authority: 'c-bearer.example.test:443', token: s, ca: null } },
    ]
    for (const [index, call] of calls.entries()) {
      const answer = await rawRequest(call).catch(() => null)
      if (answer !== null)
        keep(`call ${index}: ${call.method ?? 'GET'} ${call.target.replaceAll(s, 'S')}`, answer.bytes)
    }
    for (const noun of ['credential', 'agent'] as const) {
      const name = noun === 'agent' ? 'canary' : 'c-bearer'
      await done([noun, 'suspend', name])
      keep(
        `${noun} suspended`,
        (await rawRequest({ port, target: '/s/c-bearer/x', headers: { authorization: held } })).bytes,
      )
      await done([noun, 'resume', name])
    }
    expect(leaksSoFar()).toEqual([])
  })

  test('the control socket’s answers', async () => {
    const path = join(house.home, 'control.sock')
    for (const [method, target] of [
      ['GET', '/status'],
      ['GET', '/credentials'],
      ['GET', '/sessions'],
      ['GET', '/services'],
      ['GET', '/journal?last=10000'],
      ['GET', '/journal/verification'],
      ['GET', '/journal/witness'],
      ['GET', `/environments/dev/credentials/${encodeURIComponent(secrets.header)}`],
      ['POST', '/environments/dev/credentials/c-bearer/reveal'],
      ['POST', '/occurrences'],
      ['GET', '/nosuch'],
    ] as const) {
      keep(
        `${method} ${target} on the control socket`,
        await overSocket(
          path,
          method,
          target,
          method === 'POST' ? JSON.stringify({ texts: [secrets.bearer], confirmation: secrets.bearer }) : undefined,
        ),
      )
    }
    expect(leaksSoFar()).toEqual([])
  })

  test('run: child environment, command line, files and temporary files, with and without a boundary; adoption', async () => {
    const env = house.write('.env', `OPENROUTER_API_KEY=${secrets.adoptedFromFile}\n`)
    const variables = { TAVILY_API_KEY: secrets.adopted, STRAY: secrets.bearer, LANG: secrets.header }
    const refused = await drive(['run', '--env', 'staging', '--', 'true'], { variables })
    expect(refused.code).toBe(125)
    expect(
      (await drive(['run', '--env', 'staging', '--adopt', '--agent', 'adopter', '--', 'env'], { variables })).out,
    ).toContain('TAVILY_API_KEY=tvly-kwp')
    const program = [
      'env',
      'cat /proc/self/environ /proc/self/cmdline',
      'curl -s -H "authorization: Bearer $C_BEARER_API_KEY" "$C_BEARER_BASE_URL/as/headers" -i',
      'curl -s -H "authorization: Bearer $C_BEARER_API_KEY" https://c-bearer.example.test/as/gzip --compressed',
      'echo ready',
      'sleep 2',
    ].join('; ')
    const probing = `cat .env project.env; cat /proc/[0-9]*/environ; ls -la ${house.home}; cat ${house.rootKeyFile} ${house.home}/keyward.db`
    for (const contain of ['none', 'files']) {
      let started: ChildProcess | undefined
      const script = contain === 'files' ? `${probing}; ${program}` : program
      const running = drive(['run', '--agent', 'canary', '--contain', contain, '--', 'sh', '-c', script], {
        variables,
        onStart: (child) => (started = child),
      })
      await new Promise<void>((ready) => {
        started?.stdout?.on('data', (chunk: Buffer) => chunk.toString().includes('ready') && ready())
        void running.finally(ready)
      })
      for (const pid of descendantsOf(started?.pid ?? 0)) {
        for (const part of ['environ', 'cmdline']) keep(`${part} of a child (${contain})`, readProc(pid, part))
      }
      for (const { path, bytes } of filesUnder(house.temporary)) keep(`${path} while it runs`, bytes)
      const { code, out, err } = await running
      if (code === 125 && contain === 'files')
        process.stderr.write(`canary: containment files is not available here: ${err}`)
      else expect(out, err).toContain('ready')
    }
    rmSync(env)
    expect(leaksSoFar()).toEqual([])
  })

  test('the server process: variables, command line, SIGUSR1 opens no inspector, a crash leaves no core', async () => {
    for (const part of ['environ', 'cmdline']) keep(`${part} of the server`, readProc(server.pid, part))
    process.kill(server.pid, 'SIGUSR1')
    await new Promise((soon) => setTimeout(soon, 300))
    expect(await accepts(9229)).toBe(false)
    expect(readFileSync(`/proc/${server.pid}/limits`, 'utf8')).toMatch(/Max core file size +0 +0 /)
    const crashed = await server.kill('SIGABRT')
    expect(crashed.signal === 'SIGABRT' || crashed.signal === 'SIGUSR1' || crashed.code !== 0).toBe(true)
    expect(filesUnder(house.work).filter(({ path }) => /\/core/.test(path))).toEqual([])
    server = await house.up()
    expect((await done(['journal', 'verify'])).out).toContain('sound')
    expect(leaksSoFar()).toEqual([])
  })

  test('reveal shows it to a person on a terminal, the journal says so, and import --undo writes it back: the search sees both', async () => {
    const shown = await house.keyward(['credential', 'reveal', 'c-bearer'], {
      terminal: { when: /Type c-bearer/, text: 'c-bearer\r' },
    })
    expect(shown.code, shown.out).toBe(0)
    expect(findLeaks(Buffer.from(shown.out), secrets)).toContain('bearer as text')
    expect((await done(['journal', 'search', 'reveal'])).out).toContain('c-bearer')
    await done(['import', 'project.env', '--undo', '--yes'])
    expect(findLeaks(readFileSync(join(house.work, 'project.env')), secrets)).toContain('imported as text')
    rmSync(join(house.work, 'project.env'))
    driven.add('credential reveal')
  })

  test('people, machines, nodes, keys, narrowed sessions and backups', async () => {
    const idOf = (out: string): string => JSON.parse(out).id
    for (const json of [[], ['--json']]) {
      await done(['node', 'list', ...json])
      await done(['whoami', ...json])
      await done(['vault', 'show', ...json])
      await drive(['login', ...json])
      const person = `p${json.length}@example.test`
      await done(['person', 'add', person, '--role', 'viewer', '--group', 'team'])
      await done(['person', 'code', person, ...json])
      await done(['person', 'list', ...json])
      await done(['person', 'logins', ...json])
      await done(['agent', 'logins', 'other', ...json])
      const enrolled = await done(['agent', 'enrol', 'other', '--json'])
      await done(['agent', 'enrol', 'other', ...json])
      house.write('enrolment', `${JSON.parse(enrolled.out).secret}\n`)
      const machine = await done(['session', 'login', '--enrolment-file', 'enrolment', ...json])
      await drive(['session', 'show', json.length === 0 ? 'unknown' : idOf(machine.out), ...json])
      const { token } = JSON.parse((await done(['session', 'issue', '--agent', 'other', '--json'])).out)
      await done(['session', 'narrow', '--ttl', '10m', ...json], { input: `${token}\n` })
      await done(['agent', 'trust', 'other', '--spiffe', `spiffe://example.test/${json.length}`, ...json])
      await done(['vault', 'rotate-terms', ...json])
      await done(['vault', 'rotate-root', ...json])
      await drive(['vault', 'add-slot', 'recovery', ...json])
      house.write('passphrase', `${secrets.header}\n`, 0o600)
      const to = `backup-${json.length}.age`
      await done(['backup', '--to', to, '--passphrase-file', 'passphrase', ...json])
      rmSync(join(house.work, 'passphrase'))
      await drive(['backup', 'verify', to, ...json])
      await drive(['restore', to, ...json])
    }
    await done(['person', 'set', 'p0@example.test', '--role', 'approver'])
    await done(['person', 'remove', 'p0@example.test'])
    await drive(['person', 'end', 'unknown'])
    await drive(['logout'])
    await drive(['node', 'remove', 'unknown'])
    await drive(['agent', 'distrust', 'unknown'])
    await drive(['agent', 'withdraw', 'unknown'])
    await drive(['vault', 'remove-slot', 'unknown', '--yes'])
    expect(leaksSoFar()).toEqual([])
  })

  test('every command was driven, with --json where it has it', () => {
    const missing: string[] = []
    const leaves = (command: Command, words: readonly string[]): void => {
      for (const child of command.commands) leaves(child, [...words, child.name()])
      if (command.commands.length > 0) return
      const has = command.options.some((option) => option.long === '--json' && !option.hidden)
      const name = words.join(' ')
      const wasDriven = (with_: string): boolean =>
        [...driven].some(
          (one) => one === with_ || (one.startsWith(`${name} `) && one.endsWith(with_.slice(name.length))),
        )
      if (!wasDriven(name)) missing.push(name)
      if (has && !wasDriven(`${name} --json`)) missing.push(`${name} --json`)
    }
    leaves(
      createProgram(
        {
          open: () => Promise.reject(new Error('unused')),
          stdout: process.stdout,
          stderr: process.stderr,
          finish: () => undefined,
        },
        '0',
      ),
      [],
    )
    expect(missing).toEqual(['up', 'down'])
  })

  test('nothing that is left on disk holds one: database, journal, log, home, temporary files, core files', async () => {
    await done(['down'])
    await server.ended
    const files = filesUnder(house.folder)
    for (const name of ['keyward.db', 'log']) expect(files.some(({ path }) => path.endsWith(`/${name}`))).toBe(true)
    expect(files.some(({ path }) => path.includes('/journal/'))).toBe(true)
    expect(leaksOf(files.map(({ path, bytes }) => ({ where: path, bytes })))).toEqual([])
    expect(leaksSoFar()).toEqual([])
  })

  async function throughSocket(id: ServiceId): Promise<Buffer> {
    const { target, headers } = callOf(id, '/as/headers')
    const path = session.gateway.socket
    if (path === null) return Buffer.alloc(0)
    return overSocket(path, 'GET', `/s/${id}${target}`, undefined, { host: `127.0.0.1:${server.port}`, ...headers })
  }
})

function isService(id: string): id is ServiceId {
  return id in services
}

/** Status, headers and body of one request over a Unix socket, as text. */
function overSocket(
  socketPath: string,
  method: string,
  path: string,
  body?: string,
  headers: Record<string, string> = { host: 'keyward' },
): Promise<Buffer> {
  return new Promise((finish, fail) => {
    const all =
      body === undefined
        ? headers
        : { ...headers, 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
    const sent = request({ socketPath, method, path, headers: all }, (answer) => {
      const pieces: Buffer[] = [Buffer.from(`${answer.statusCode} ${answer.rawHeaders.join('\n')}\n`)]
      answer.on('data', (chunk: Buffer) => pieces.push(chunk))
      answer.on('end', () => finish(Buffer.concat(pieces)))
      answer.on('error', fail)
    })
    sent.on('error', fail)
    sent.end(body)
  })
}

function descendantsOf(ancestor: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+ \(.*\) \S (\d+)/s.exec(
      /^\d+$/.test(name) ? readProc(Number(name), 'stat').toString('latin1') : '',
    )?.[1]
    if (parent !== undefined) parents.set(Number(name), Number(parent))
  }
  const found: number[] = []
  for (let wave = [ancestor]; wave.length > 0;) {
    wave = [...parents].flatMap(([child, parent]) => (wave.includes(parent) ? [child] : []))
    found.push(...wave)
  }
  return found
}

function readProc(pid: number, part: string): Buffer {
  try {
    return readFileSync(`/proc/${pid}/${part}`)
  } catch {
    return Buffer.alloc(0)
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((tell) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      tell(true)
    })
    socket.once('error', () => tell(false))
  })
}
