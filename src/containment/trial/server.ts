/**
 * Stands in for Keyward in the containment tests: holds the secret in its variables, its memory and
 * an open file, listens where an agent must not get, and starts the planned command. Argument: JSON.
 * Prints the command's output; ends with its exit status.
 */
import { createSocket } from 'node:dgram'
import { mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createNetServer } from 'node:net'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { defaultHidden, defaultReadOnly } from '../hidden.ts'
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
  join(home, '.aws'),
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
  server: process.pid,
}
const [command = '', ...args] = trial.attacks ? [...trial.command, JSON.stringify(place)] : trial.command
const environment = {
  HOME: home,
  SSH_AUTH_SOCK: sshAgentSocket,
  XDG_RUNTIME_DIR: runtime,
  TMPDIR: process.env['TMPDIR'],
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
  readOnly: [...defaultReadOnly(home), mine.directory],
  keep: [mine.directory],
  gateway: { port: gatewayPort },
})
const child = runContained(plan, {
  variables: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, GATEWAY: `http://127.0.0.1:${gatewayPort}` },
})
if (process.env['TRIAL_ANNOUNCE'] === '1') console.error(`launcher ${child.pid}`)
child.on('exit', (code, signal) => {
  other.remove()
  mine.remove()
  process.exit(code ?? (signal === null ? 1 : 99))
})
