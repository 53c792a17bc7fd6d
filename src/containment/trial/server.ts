/**
 * Stands in for Keyward in the containment tests: holds the secret in its variables, its memory and
 * an open file, listens where an agent must not get, and starts the planned command. Argument: JSON.
 * Prints the command's output; ends with its exit status.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { existsSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createNetServer } from 'node:net'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { defaultHidden, defaultReadOnly, programFolders } from '../hidden.ts'
import { planContainment } from '../plan.ts'
import { runContained } from '../run.ts'
import { writeSessionDirectory } from '../session-directory.ts'

const trial = z
  .object({
    base: z.string(),
    mode: z.enum(['files', 'full', 'none']),
    command: z.array(z.string()),
    attacks: z.boolean(),
  })
  .parse(JSON.parse(process.argv[2] ?? ''))
const secret = process.env['TRIAL_SECRET'] ?? ''
const home = join(trial.base, 'home')
const work = join(trial.base, 'work')
const runtime = join(trial.base, 'runtime')
const containerSocket = join(home, '.docker/run/docker.sock')
const sshAgentSocket = join(trial.base, 'agent/agent.1')
const abstractSocket = `\0keyward-trial-${process.pid}`

for (const directory of [
  home,
  work,
  runtime,
  join(home, '.keyward'),
  join(home, '.keyward/gateway'),
  join(home, '.aws'),
  join(home, '.local/bin'),
  dirname(containerSocket),
  dirname(sshAgentSocket),
]) {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
}
for (const name of ['.keyward/keyward.db', '.keyward.root-key', '.netrc', '.aws/credentials', '.bashrc']) {
  writeFileSync(join(home, name), secret, { mode: 0o600 })
}
openSync(join(home, '.keyward/keyward.db'), 'r')

async function listen(target: string | { host: string; port: number }): Promise<number> {
  if (typeof target === 'string' && target.startsWith('/')) rmSync(target, { force: true })
  const server = createNetServer((socket) => socket.on('error', () => undefined).end()).unref()
  await new Promise<void>((done, fail) =>
    server.on('error', fail).listen(typeof target === 'string' ? { path: target } : target, done),
  )
  return portOf(server.address())
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0
}

for (const path of [
  join(home, '.keyward/control.sock'),
  join(home, '.keyward/gateway/gateway.sock'),
  containerSocket,
  sshAgentSocket,
  abstractSocket,
  join(runtime, 'bus'),
])
  await listen(path)
const tcpPort = await listen({ host: '127.0.0.1', port: 0 })
const tcpPort6 = await listen({ host: '::1', port: 0 }).catch(() => 1)
const udp = createSocket('udp4').on('message', (_, from) => udp.send('x', from.port, from.address))
await new Promise<void>((done) => udp.bind(0, '127.0.0.1', done))
const udp6 = createSocket('udp6').on('message', (_, from) => udp6.send('x', from.port, from.address))
await new Promise<void>((done) => udp6.once('error', () => done()).bind(0, '::1', done))
const resolver = createSocket('udp4').on('message', (asked, from) =>
  resolver.send(namedHere(asked), from.port, from.address),
)
await new Promise<void>((done) => resolver.bind(0, '127.0.0.1', done))

/** Answers any question for an address with 192.0.2.1 (RFC 1035, section 4.1). */
function namedHere(question: Buffer): Buffer {
  const head = Buffer.from(question.subarray(0, 12))
  head.writeUInt16BE(0x8180, 2)
  head.writeUInt16BE(1, 6)
  head.fill(0, 8)
  const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1])
  return Buffer.concat([head, question.subarray(12, question.indexOf(0, 12) + 5), answer])
}

function portOfDatagrams(socket: ReturnType<typeof createSocket>): number {
  try {
    return socket.address().port
  } catch {
    return 1
  }
}

/** Two more processes of the same user: one with something in its arguments and a debugger, one that keeps it in the kernel. */
const standIn = trial.attacks
  ? spawn(
      process.execPath,
      ['--inspect=127.0.0.1:0', '-e', 'process.stdin.resume()', '--', `stand-in-${randomBytes(16).toString('hex')}`],
      {
        stdio: ['pipe', 'ignore', 'pipe'],
        env: {},
      },
    )
  : undefined
const inspectorPort = standIn === undefined ? 0 : await firstMatch(standIn.stderr, /ws:\/\/127\.0\.0\.1:(\d+)/)
const callNumbers = { x64: [250, 248, 240, 242], arm64: [219, 217, 180, 182] }[
  process.arch === 'arm64' ? 'arm64' : 'x64'
]
const holder =
  trial.attacks && existsSync('/usr/bin/perl')
    ? spawn('perl', [join(import.meta.dirname, 'holder.pl'), ...callNumbers.map(String), join(home, '.netrc')], {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: {},
      })
    : undefined
const kept = z
  .object({ segment: z.number(), queue: z.string(), terminal: z.string(), vsock: z.number() })
  .parse(
    holder === undefined
      ? { segment: 0, queue: '', terminal: '', vsock: 0 }
      : JSON.parse(await firstMatch(holder.stdout, /^(\{.*\})\n/)),
  )
const sharedFile = `/dev/shm/keyward-trial-${process.pid}`
if (trial.attacks) writeFileSync(sharedFile, secret, { mode: 0o600 })

function firstMatch(stream: NodeJS.ReadableStream, pattern: RegExp): Promise<string> {
  return new Promise((done, fail) => {
    let text = ''
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const found = pattern.exec(text)?.[1]
      if (found !== undefined) done(found)
    })
    stream.once('end', () => fail(new Error('a stand-in ended early')))
  })
}
const gateway = createServer((request, response) => response.end(`gateway ${request.url}`))
await new Promise<void>((done) => gateway.listen(0, '127.0.0.1', done))
const gatewayPort = portOf(gateway.address())

const [other, mine] = [secret, 'mine'].map((preloadSource) =>
  writeSessionDirectory({ caPem: '', preloadSource, parentEnvironment: {} }),
)
if (other === undefined || mine === undefined) throw new Error('two session directories')
const place = {
  otherSession: other.preloadPath,
  ownSession: mine.preloadPath,
  home,
  work,
  runtime,
  secret,
  containerSocket,
  sshAgentSocket,
  abstractSocket,
  tcpPort,
  tcpPort6,
  gatewayPort,
  udpPort: udp.address().port,
  udpPort6: portOfDatagrams(udp6),
  resolverPort: resolver.address().port,
  server: process.pid,
  standIn: standIn?.pid ?? 0,
  inspectorPort: Number(inspectorPort),
  key: process.env['TRIAL_KEY'] ?? '',
  segment: kept.segment,
  queue: kept.queue,
  terminal: kept.terminal,
  vsockPort: kept.vsock,
  sharedFile,
  gatewaySocket: join(home, '.keyward/gateway/gateway.sock'),
  laterSocket: join(trial.base, 'agent/later.sock'),
  programs: join(home, '.local/bin'),
}
const [command = '', ...args] = trial.attacks ? [...trial.command, JSON.stringify(place)] : trial.command
const environment = {
  HOME: home,
  SSH_AUTH_SOCK: sshAgentSocket,
  XDG_RUNTIME_DIR: runtime,
  TMPDIR: process.env['TMPDIR'],
  PATH: `${join(home, '.local/bin')}:/usr/bin`,
}
const known = defaultHidden(home, environment)
const plan = planContainment({
  mode: trial.mode,
  command,
  args,
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  cwd: work,
  environment,
  hide: {
    directories: [...known.directories, join(home, '.keyward')],
    files: [...known.files, join(home, '.keyward.root-key')],
  },
  readOnly: [...defaultReadOnly(home), ...programFolders(environment, work), mine.directory],
  keep: [mine.directory],
  gateway: { port: gatewayPort },
})
const child = runContained(plan, {
  variables: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, GATEWAY: `http://127.0.0.1:${gatewayPort}` },
})
if (trial.attacks) setTimeout(() => void listen(place.laterSocket), 500)
if (process.env['TRIAL_ANNOUNCE'] === '1') console.error(`launcher ${child.pid}`)
child.on('exit', (code, signal) => {
  other.remove()
  mine.remove()
  rmSync(sharedFile, { force: true })
  rmSync(place.laterSocket, { force: true })
  standIn?.kill('SIGKILL')
  holder?.stdin.end()
  process.exit(code ?? (signal === null ? 1 : 99))
})
