import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { DatabaseSync } from 'node:sqlite'
import { postgresPrograms, startPostgres } from '../../postgres-server.ts'

/**
 * Makes the homes of a release by the code of that very release, taken from the history:
 *
 *   node test/vectors/homes/make.ts 0.1.0 af689c6
 *
 * It speaks to that code through its command line and its gateway alone, so that it serves for later releases too.
 * Nothing in these homes was ever a key of anything; the service they are for does not exist.
 */

const [version = '', commit = ''] = process.argv.slice(2)
if (!/^\d+\.\d+\.\d+$/.test(version) || !/^[0-9a-f]{7,40}$/.test(commit)) throw new Error('make.ts VERSION COMMIT')
const root = resolve(import.meta.dirname, '../../..')
const place = join(import.meta.dirname, version)
const work = mkdtempSync(join(tmpdir(), 'keyward-homes-'))
const code = join(work, 'code')
mkdirSync(code)
execFileSync('sh', ['-c', `git archive ${commit} | tar -x -C ${code}`], { cwd: root })
symlinkSync(join(root, 'node_modules'), join(code, 'node_modules'))

const services = {
  'alpha.yaml': `id: alpha
name: Alpha
hosts: [alpha.example.test]
endpoint: http://127.0.0.1:9
inject: { kind: bearer }
variables: { key: ALPHA_API_KEY, baseUrl: ALPHA_BASE_URL }
`,
  'beta.yaml': `id: beta
name: Beta
hosts: [beta.example.test]
endpoint: http://127.0.0.1:9
fields: { account: public, password: secret, pin: secret }
inject: { kind: basic, userField: account, passwordField: password }
variables: { account: BETA_ACCOUNT, password: BETA_PASSWORD, pin: BETA_PIN }
`,
}
/** What is asked through the gateway, as the agent `worker` with the credential `first`. */
const asked = [
  ['GET', '/things'],
  ['GET', '/things/7'],
  ['POST', '/things'],
  ['DELETE', '/things/7'],
  ['GET', '/secret/of/things'],
  ['PATCH', '/other'],
] as const

async function makeHome(kind: 'sqlite' | 'postgres', databaseUrl: string | null): Promise<string> {
  const home = join(work, kind)
  const variables = {
    PATH: process.env['PATH'],
    HOME: work,
    KEYWARD_HOME: home,
    KEYWARD_NODE: 'node-1',
    KEYWARD_GATEWAY: '127.0.0.1:0',
    ...(databaseUrl === null ? {} : { KEYWARD_DATABASE_URL: databaseUrl }),
  }
  const entry = join(code, 'bin/keyward.cjs')
  const keyward = (args: readonly string[], input = ''): string => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [entry, ...args], {
      cwd: work,
      env: variables,
      input,
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`keyward ${args.join(' ')}: ${stdout}${stderr}`)
    return stdout
  }
  for (const [name, text] of Object.entries(services)) writeFileSync(join(work, name), text)
  const server = spawn(process.execPath, [entry, 'up'], {
    cwd: work,
    env: variables,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gateway = await new Promise<string>((done, failed) => {
    let heard = ''
    server.stdout.on('data', (chunk: Buffer) => {
      heard += chunk.toString()
      const found = /gateway is http:\/\/(\S+?)\.\n/.exec(heard)?.[1]
      if (found !== undefined) done(found)
    })
    server.once('close', () => failed(new Error(`it did not start: ${heard}`)))
  })

  const secrets = {
    first: { key: 'the second words of the first' },
    second: { account: 'somebody', password: 'words to log in with', pin: 'four words for pin' },
    third: { key: 'words that were suspended' },
    fourth: { key: 'words for production' },
  }
  for (const name of Object.keys(services)) keyward(['service', 'add', name])
  keyward(
    [
      'credential',
      'add',
      'first',
      '--service',
      'alpha',
      '--stdin',
      '--owner',
      'ann@example.test',
      '--sensitivity',
      'high',
    ],
    'the first words of the first',
  )
  keyward(['credential', 'set', 'first', '--stdin'], secrets.first.key)
  writeFileSync(join(work, 'password'), secrets.second.password)
  writeFileSync(join(work, 'pin'), secrets.second.pin)
  keyward([
    'credential',
    'add',
    'second',
    '--service',
    'beta',
    '--field',
    'account=somebody',
    '--field',
    'password=@password',
    '--field',
    'pin=@pin',
  ])
  keyward(['credential', 'add', 'third', '--service', 'alpha', '--stdin'], secrets.third.key)
  keyward(['credential', 'suspend', 'third'])
  keyward(['credential', 'add', 'fourth', '--service', 'alpha', '--env', 'prod', '--stdin'], secrets.fourth.key)
  keyward(['agent', 'add', 'worker', '--owner', 'ann@example.test'])
  keyward(['agent', 'add', 'idle'])
  keyward(['agent', 'add', 'worker', '--env', 'prod'])
  keyward([
    'grant',
    'add',
    '--agent',
    'worker',
    '--credential',
    'first',
    '--allow',
    'GET /things',
    '--allow',
    'GET /things/{id}',
    '--allow',
    'POST /things',
    '--allow',
    'GET /secret/**',
    '--deny',
    '* /secret/**',
    '--rate',
    '1000/min',
    '--concurrent',
    '8',
  ])
  keyward([
    'grant',
    'add',
    '--agent',
    'worker',
    '--credential',
    'second',
    '--allow',
    '*',
    '--approve',
    'destructive',
    '--expires',
    '30d',
  ])
  keyward(['grant', 'add', '--agent', 'worker', '--env', 'prod', '--credential', 'fourth', '--allow', 'GET /**'])
  const issued = JSON.parse(keyward(['session', 'issue', '--agent', 'worker', '--ttl', '12h', '--json']))
  const ended = JSON.parse(keyward(['session', 'issue', '--agent', 'idle', '--ttl', '15m', '--json']))
  keyward(['session', 'revoke', ended.id])
  keyward(['agent', 'suspend', 'idle'])

  const held = issued.credentials.find((one: { name: string }) => one.name === 'first')
  const placeholder: string = held.fields[0].text
  const decisions = []
  for (const [method, path] of asked)
    decisions.push({ method, path, code: await codeOf(gateway, method, `/s/alpha${path}`, placeholder) })
  const views = {
    credentials: JSON.parse(keyward(['credential', 'list', '--json'])),
    agents: JSON.parse(keyward(['agent', 'list', '--json'])),
    grants: JSON.parse(keyward(['grant', 'list', '--json'])),
    sessions: JSON.parse(keyward(['session', 'list', '--all', '--json'])),
  }
  const closed = new Promise((done) => server.once('close', done))
  server.kill('SIGTERM')
  await closed

  const target = join(place, kind)
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  cpSync(join(home, 'journal/node-1'), join(target, 'journal'), { recursive: true })
  cpSync(`${home}.root/key`, join(target, 'root-key'))
  const about = {
    version,
    commit,
    madeAt: Date.now(),
    secrets,
    // In two halves, because a whole one looks like what it stands for.
    placeholder: [placeholder.slice(0, placeholder.length / 2), placeholder.slice(placeholder.length / 2)],
    decisions,
    views,
  }
  writeFileSync(join(target, 'about.json'), `${JSON.stringify(about, null, 2)}\n`)
  return home
}

/** What the gateway says: its own code, or `passed` where the request went on to the service, which is not there. */
function codeOf(gateway: string, method: string, path: string, placeholder: string): Promise<string> {
  const [host, port] = gateway.split(':')
  return new Promise((done, failed) => {
    const headers = { authorization: `Bearer ${placeholder}` }
    request({ host, port, method, path, headers, agent: false }, (answer) => {
      let text = ''
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()))
      answer.on('end', () => done(answer.statusCode === 502 ? 'passed' : JSON.parse(text).code))
    })
      .once('error', failed)
      .end()
  })
}

/** The statements that make the database anew, of a file that nobody has open. */
function sqliteStatements(file: string): string {
  const database = new DatabaseSync(file)
  const text = (value: unknown): string =>
    value instanceof Uint8Array
      ? `x'${Buffer.from(value).toString('hex')}'`
      : typeof value === 'string'
        ? `'${value.replaceAll("'", "''")}'`
        : String(value)
  const lines = database
    .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type = 'table' DESC, name")
    .all()
    .map(({ sql }) => `${String(sql)};`)
  for (const { name } of database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all())
    for (const row of database.prepare(`SELECT * FROM ${String(name)}`).all())
      lines.push(`INSERT INTO ${String(name)} VALUES (${Object.values(row).map(text).join(', ')});`)
  database.close()
  return `${lines.join('\n')}\n`
}

try {
  const home = await makeHome('sqlite', null)
  writeFileSync(join(place, 'sqlite/store.sql'), sqliteStatements(join(home, 'keyward.db')))
  if (postgresPrograms === null || !existsSync(postgresPrograms)) throw new Error('PostgreSQL is not installed here.')
  const server = await startPostgres()
  const url = await server.database()
  await makeHome('postgres', url)
  const { hostname, port, pathname, username, password } = new URL(url)
  const dump = spawnSync(
    join(postgresPrograms, 'pg_dump'),
    ['--inserts', '--no-owner', '--no-privileges', '-h', hostname, '-p', port, '-U', username, pathname.slice(1)],
    { env: { ...process.env, PGPASSWORD: decodeURIComponent(password) }, encoding: 'utf8' },
  )
  await server.close()
  if (dump.status !== 0) throw new Error(dump.stderr)
  const lines = dump.stdout.split('\n').filter((line) => line !== '' && !/^(--|\\|SET |SELECT pg_catalog)/.test(line))
  writeFileSync(join(place, 'postgres/store.sql'), `${lines.join('\n')}\n`)
} finally {
  rmSync(work, { recursive: true, force: true })
}
process.stdout.write(`${readFileSync(join(place, 'sqlite/about.json')).length} bytes about the home of ${version}\n`)
