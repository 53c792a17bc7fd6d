import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority } from '../test/fakes/authority.ts'
import { buildKeyward } from './build.ts'
import { LOAD_CORE, find, freePort, pause, start, startNode, type Program } from './processes.ts'

/** What every run stands on: a folder that goes away with it, a throw-away certificate authority, two secrets, upstreams that ask for them. */
export interface Ground {
  readonly folder: string
  /** PEM text of the authority, and paths of files. */
  readonly authority: string
  readonly files: { readonly authority: string; readonly certificate: string; readonly key: string }
  /** What each upstream takes as `Authorization`, and nothing else. */
  readonly secrets: { readonly plain: string; readonly tls: string }
  /** The bundled gateway, made when it is first asked for. */
  keyward(): Promise<string>
  /** A new folder below `folder`. */
  place(name: string): string
}

export interface Upstream {
  readonly plainPort: number
  readonly tlsPort: number
  /** Whose work it is: nginx or Node. */
  readonly kind: string
  /** Requests with the right secret, or all that came, where it is nginx. It refuses the others with 401. */
  requests(): Promise<number>
  stop(): Promise<void>
}

export const ANSWER = JSON.stringify({ id: 'bench', object: 'chat.completion', text: 'x'.repeat(960) })

export async function layGround(): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const authority = await createAuthority('Keyward bench authority')
  const leaf = await authority.issue(['localhost', '127.0.0.1'])
  const write = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  let places = 0
  let keyward: Promise<string> | null = null
  const place = (name: string): string => {
    places += 1
    const path = join(folder, `${name}-${places}`)
    mkdirSync(path, { mode: 0o700 })
    return path
  }
  return {
    folder,
    authority: authority.certificate,
    files: {
      authority: write('authority.pem', authority.certificate),
      certificate: write('certificate.pem', leaf.cert),
      key: write('key.pem', leaf.key),
    },
    secrets: { plain: randomBytes(30).toString('base64url'), tls: randomBytes(30).toString('base64url') },
    keyward: () => (keyward ??= buildKeyward(place('build'))),
    place,
  }
}

/** The upstream for throughput: nginx where it is installed, since it takes least of the load's core. */
export async function startUpstream(ground: Ground): Promise<Upstream> {
  const nginx = find('nginx')
  return nginx === null ? startNodeUpstream(ground, 'answer') : startNginxUpstream(nginx, ground)
}

/** The upstream whose answers are streams of events on a fixed schedule. */
export function startStreamUpstream(ground: Ground): Promise<Upstream> {
  return startNodeUpstream(ground, 'stream')
}

async function startNodeUpstream(ground: Ground, behaviour: 'answer' | 'stream'): Promise<Upstream> {
  const options = JSON.stringify({ behaviour, answer: ANSWER, files: ground.files, secrets: ground.secrets })
  const program = startNode(LOAD_CORE, join(import.meta.dirname, 'servers/upstream.ts'), [options])
  const ports = await program.answer()
  const port = (name: string): number => numberAt(ports, name)
  return {
    plainPort: port('plainPort'),
    tlsPort: port('tlsPort'),
    kind: 'Node',
    requests: async () => numberAt(await program.ask('requests'), 'requests'),
    stop: program.stop,
  }
}

async function startNginxUpstream(binary: string, ground: Ground): Promise<Upstream> {
  const [plainPort, tlsPort, statusPort] = [await freePort(), await freePort(), await freePort()]
  const location = (secret: string): string =>
    `location / { default_type application/json; if ($http_authorization != "Bearer ${secret}") { return 401; } return 200 '${ANSWER}'; }`
  const program = await startNginx(binary, LOAD_CORE, ground, statusPort, [
    `server { listen 127.0.0.1:${plainPort} backlog=4096; ${location(ground.secrets.plain)} }`,
    `server { listen 127.0.0.1:${tlsPort} ssl backlog=4096; ${nginxCertificate(ground)} ${location(ground.secrets.tls)} }`,
    `server { listen 127.0.0.1:${statusPort}; location / { stub_status; } }`,
  ])
  // Its page counts the requests for itself too.
  let asked = 0
  return {
    plainPort,
    tlsPort,
    kind: 'nginx',
    async requests() {
      asked += 1
      return Number(/requests\s+\d+ \d+ (\d+)/.exec(await page(statusPort))?.[1]) - asked
    },
    stop: program.stop,
  }
}

export function nginxCertificate(ground: Ground): string {
  return `ssl_certificate ${ground.files.certificate}; ssl_certificate_key ${ground.files.key}; ssl_session_cache shared:SSL:4m;`
}

/** One process, no log, until it listens on `port`. */
export async function startNginx(
  binary: string,
  core: number,
  ground: Ground,
  port: number,
  blocks: readonly string[],
): Promise<Program> {
  const folder = ground.place('nginx')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  const keepAlive = 'keepalive_requests 100000000; keepalive_timeout 600s;'
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr crit; worker_rlimit_nofile 20000; events { worker_connections 16384; } http { access_log off; ${keepAlive} ${temporary} ${blocks.join(' ')} }`,
  )
  const program = start({ core, command: binary, args: ['-p', folder, '-c', join(folder, 'nginx.conf')], mute: true })
  await listening(port)
  return program
}

/** Until something accepts connections there. */
export async function listening(port: number): Promise<void> {
  const patience = performance.now() + 60_000
  while (performance.now() < patience) {
    const up = await page(port).then(
      () => true,
      () => false,
    )
    if (up) return
    await pause(5)
  }
  throw new Error('a program does not listen on its port')
}

function page(port: number): Promise<string> {
  return new Promise((done, fail) => {
    get({ host: '127.0.0.1', port, agent: false }, (answer) => {
      let text = ''
      answer.on('data', (chunk: Buffer) => void (text += chunk.toString()))
      answer.once('end', () => done(text))
      answer.once('error', fail)
    }).once('error', fail)
  })
}

export function numberAt(value: unknown, name: string): number {
  return Number(memberOf(value, name))
}

export function textAt(value: unknown, name: string): string {
  return String(memberOf(value, name))
}

function memberOf(value: unknown, name: string): unknown {
  const found =
    typeof value === 'object' && value !== null ? Object.entries(value).find(([key]) => key === name) : undefined
  if (found === undefined) throw new Error(`a program's answer has no ${name}`)
  return found[1]
}
