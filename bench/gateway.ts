import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'

/**
 * The gateway beside its peers, in one run: every proxy gets the same load in turn, round after round,
 * so that a slow minute of the machine hits all of them. The proxy has core 0, load and upstream core 1.
 * What counts is the proxy's CPU time per request (user + system, from /proc): it hardly depends on
 * what else the machine does. Linux only.
 *   npm run bench -- [--rounds 3] [--seconds 3] [--connections 64] [--json]
 */
const option = (name: string, fallback: number): number => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? fallback : Number(process.argv[at + 1])
}
const rounds = option('rounds', 3)
const seconds = option('seconds', 3)
const connections = option('connections', 64)
const here = import.meta.dirname
const node = process.execPath
const quiet = ['--disable-warning=ExperimentalWarning']
const hasTaskset = has('taskset')
const nginx = has('nginx') ? 'nginx' : has('/usr/sbin/nginx') ? '/usr/sbin/nginx' : null
const running: ChildProcess[] = []
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

interface Started {
  readonly child: ChildProcess
  readonly facts: { readonly port: number; readonly path?: string; readonly placeholder?: string }
}

interface Peer {
  readonly name: string
  readonly processIds: () => readonly number[]
  readonly port: number
  readonly path: string
  readonly bearer: string
}

const upstreamPort = await startUpstream()
const origin = `http://127.0.0.1:${upstreamPort}`
const peers: Peer[] = []
if (nginx !== null) peers.push(await startNginxProxy(nginx))
for (const [name, file] of [
  ['undici dispatch', 'undici.ts'],
  ['http-proxy', 'http-proxy.ts'],
  ['keyward (base URL)', 'keyward.ts'],
] as const) {
  const { child, facts } = await start([...quiet, join(here, 'servers', file), origin], 0)
  const processId = child.pid ?? 0
  peers.push({
    name,
    processIds: () => [processId],
    port: facts.port,
    path: `${facts.path ?? ''}/v1/chat/completions`,
    bearer: facts.placeholder ?? 'bench',
  })
}

const results = new Map<string, { cpu: number[]; p50: number[]; p99: number[]; rate: number[]; errors: number }>()
for (const peer of peers) {
  results.set(peer.name, { cpu: [], p50: [], p99: [], rate: [], errors: 0 })
  await load(peer, 1)
}
for (let round = 0; round < rounds; round += 1) {
  for (const peer of peers) {
    const before = cpuMicroseconds(peer)
    const measured = await load(peer, seconds)
    const spent = cpuMicroseconds(peer) - before
    const result = results.get(peer.name)
    result?.cpu.push(spent / Math.max(1, measured.requests))
    result?.p50.push(measured.p50)
    result?.p99.push(measured.p99)
    result?.rate.push(measured.requests / seconds)
    if (result !== undefined) result.errors += measured.errors
  }
}
report()
process.exit(0)

function report(): void {
  const base = median(results.get('undici dispatch')?.cpu ?? [])
  const rows = [...results].map(([name, result]) => ({
    name,
    cpuMicroseconds: Math.round(median(result.cpu)),
    low: Math.round(Math.min(...result.cpu)),
    high: Math.round(Math.max(...result.cpu)),
    ratioToUndici: Number((median(result.cpu) / base).toFixed(2)),
    requestsPerSecond: Math.round(median(result.rate)),
    p50Milliseconds: Number((median(result.p50) / 1000).toFixed(2)),
    p99Milliseconds: Number((median(result.p99) / 1000).toFixed(2)),
    errors: result.errors,
  }))
  const conditions = {
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    rounds,
    secondsPerRound: seconds,
    connections,
    body: '1 KB in, 1 KB out',
    upstream: nginx === null ? 'node:http' : 'nginx',
    pinned: hasTaskset,
    date: new Date().toISOString().slice(0, 10),
  }
  if (process.argv.includes('--json')) {
    console.log(JSON.stringify({ conditions, rows }, null, 2))
    return
  }
  console.log(
    Object.entries(conditions)
      .map(([name, value]) => `${name} ${value}`)
      .join(' · '),
  )
  console.log(
    '\n| proxy | CPU-µs per request (min–max of rounds) | ratio to undici | requests/s at saturation | p50 ms | p99 ms | errors |\n|---|---|---|---|---|---|---|',
  )
  for (const row of rows) {
    console.log(
      `| ${row.name} | ${row.cpuMicroseconds} (${row.low}–${row.high}) | ${row.ratioToUndici} | ${row.requestsPerSecond} | ${row.p50Milliseconds} | ${row.p99Milliseconds} | ${row.errors} |`,
    )
  }
  if (nginx === null) console.log('\nnginx is not installed here: it is left out (Debian: nginx-light).')
}

async function startUpstream(): Promise<number> {
  if (nginx === null) return (await start([...quiet, join(here, 'servers/upstream.ts')], 1)).facts.port
  const port = await freePort()
  const text = JSON.stringify({ id: 'bench', text: 'x'.repeat(980) })
  await startNginx(
    nginx,
    1,
    `server { listen 127.0.0.1:${port} reuseport; keepalive_requests 100000000; location / { default_type application/json; return 200 '${text}'; } }`,
    port,
  )
  return port
}

async function startNginxProxy(binary: string): Promise<Peer> {
  const port = await freePort()
  const child = await startNginx(
    binary,
    0,
    `upstream mock { server 127.0.0.1:${upstreamPort}; keepalive 128; keepalive_requests 100000000; } server { listen 127.0.0.1:${port}; keepalive_requests 100000000; location / { proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
    port,
  )
  return { name: 'nginx', processIds: () => [child.pid ?? 0], port, path: '/v1/chat/completions', bearer: 'bench' }
}

async function startNginx(binary: string, core: number, server: string, port: number): Promise<ChildProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-bench-nginx-'))
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr crit; events { worker_connections 4096; } http { access_log off; ${paths} ${server} }`,
  )
  const child = pinned(core, binary, ['-p', folder, '-c', join(folder, 'nginx.conf')], 'ignore')
  await answering(port)
  return child
}

function start(args: readonly string[], core: number): Promise<Started> {
  const child = pinned(core, node, args, 'pipe')
  return new Promise((done, fail) => {
    child.once('exit', (code) => fail(new Error(`${args.at(-2)} ended with ${code}`)))
    if (child.stdout === null) return
    createInterface(child.stdout).once('line', (line) => done({ child, facts: JSON.parse(line) }))
  })
}

function pinned(core: number, command: string, args: readonly string[], stdout: 'pipe' | 'ignore'): ChildProcess {
  const child = hasTaskset
    ? spawn('taskset', ['-c', String(core), command, ...args], { stdio: ['ignore', stdout, 'inherit'] })
    : spawn(command, args, { stdio: ['ignore', stdout, 'inherit'] })
  running.push(child)
  return child
}

function load(peer: Peer, forSeconds: number): Promise<{ requests: number; errors: number; p50: number; p99: number }> {
  const args = [...quiet, join(here, 'load.ts'), peer.port, peer.path, peer.bearer, connections, forSeconds].map(String)
  const output = pinned(1, node, args, 'pipe')
  return new Promise((done) => {
    if (output.stdout !== null) createInterface(output.stdout).once('line', (line) => done(JSON.parse(line)))
  })
}

/** User and system time of the processes; the kernel counts in ticks of 10 ms. */
function cpuMicroseconds(peer: Peer): number {
  let ticks = 0
  for (const id of peer.processIds()) {
    const fields = readFileSync(`/proc/${id}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks * 10_000
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

function has(command: string): boolean {
  try {
    execFileSync(command.startsWith('/') ? command : 'which', command.startsWith('/') ? ['-v'] : [command], {
      stdio: 'ignore',
    })
    return true
  } catch {
    return false
  }
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => done(address !== null && typeof address === 'object' ? address.port : 0))
    })
  })
}

async function answering(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const up = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    )
    if (up) return
    await new Promise((done) => setTimeout(done, 50))
  }
  throw new Error(`nothing answers on ${port} (${dirname(here)})`)
}
