import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listening, nginxCertificate, numberAt, startNginx, type Ground } from './ground.ts'
import { keywardPeers } from './keyward-peers.ts'
import type { Target } from './load/job.ts'
import { FLOOR, FLOOR_HTTP2, FLOOR_TLS, plainTarget, tlsTarget, versionOf, type Peer, type Started } from './peer.ts'
import { PROXY_CORE, find, freePort, start, startNode, type Program } from './processes.ts'

const peersFolder = join(import.meta.dirname, 'peers')
const servers = join(import.meta.dirname, 'servers')
const pinnedVersions: { dependencies: Record<string, string> } = JSON.parse(
  readFileSync(join(peersFolder, 'package.json'), 'utf8'),
)
const undiciVersion: string = JSON.parse(
  readFileSync(join(import.meta.dirname, '../node_modules/undici/package.json'), 'utf8'),
).version
const nginx = find('nginx')
const haproxy = find('haproxy')
const mitmdump = find('mitmdump')
const KEPT_CONNECTIONS = 128

const plain = { direct: 'direct', floor: FLOOR, missing: null, streams: true } as const
const overTls = { direct: 'direct, TLS', floor: FLOOR_TLS, missing: null, streams: true } as const

/** In the order of the table: nothing, C, Node's floor, Node's proxies, the AI gateway, Keyward. */
export const peers: readonly Peer[] = [
  {
    ...plain,
    name: 'direct',
    version: '',
    start: async (ground, upstream) => none(plainTarget(upstream.plainPort, ground)),
  },
  {
    ...plain,
    name: 'nginx',
    missing: nginx === null ? 'nginx is not installed' : null,
    version: versionOf(nginx, ['-v'], /nginx\/(\S+)/),
    async start(ground, upstream) {
      const port = await freePort()
      const program = await startNginx(nginx ?? '', PROXY_CORE, ground, port, [
        `upstream mock { server 127.0.0.1:${upstream.plainPort}; keepalive ${KEPT_CONNECTIONS}; keepalive_requests 100000000; }`,
        `server { listen 127.0.0.1:${port} backlog=4096; ${passing('http://mock')} }`,
      ])
      return some(program, plainTarget(port, ground))
    },
  },
  {
    ...plain,
    name: 'haproxy',
    missing: haproxy === null ? 'haproxy is not installed' : null,
    version: versionOf(haproxy, ['-v'], /version (\S+?)-/),
    async start(ground, upstream) {
      const port = await freePort()
      const file = join(ground.place('haproxy'), 'haproxy.cfg')
      const server = `server mock 127.0.0.1:${upstream.plainPort}`
      writeFileSync(
        file,
        `global\n maxconn 8000\n nbthread 1\ndefaults\n mode http\n timeout connect 5s\n timeout client 600s\n timeout server 600s\nlisten bench\n bind 127.0.0.1:${port}\n http-reuse always\n ${server}\n`,
      )
      const program = start({ core: PROXY_CORE, command: haproxy ?? '', args: ['-db', '-f', file], mute: true })
      await listening(port)
      return some(program, plainTarget(port, ground))
    },
  },
  {
    ...plain,
    name: FLOOR,
    version: undiciVersion,
    async start(ground, upstream) {
      const origin = `http://127.0.0.1:${upstream.plainPort}`
      return node(join(servers, 'undici.ts'), [origin], (port) => plainTarget(port, ground))
    },
  },
  npm('http-proxy', 'http-proxy.mjs'),
  npm('@fastify/http-proxy', 'fastify-http-proxy.mjs'),
  {
    ...plain,
    // Its package.json admits a server library with which it cannot stream ("TypeError: immutable");
    // bench/peers/package.json holds the last minor version with which it can.
    name: '@portkey-ai/gateway',
    version: pinnedVersions.dependencies['@portkey-ai/gateway'] ?? '',
    async start(ground, upstream) {
      const port = await freePort()
      const program = start({
        core: PROXY_CORE,
        command: process.execPath,
        args: [
          join(peersFolder, 'node_modules/@portkey-ai/gateway/build/start-server.js'),
          `--port=${port}`,
          '--headless',
        ],
        mute: true,
      })
      await listening(port)
      const target = plainTarget(port, ground, [
        ['x-portkey-provider', 'openai'],
        ['x-portkey-custom-host', `http://127.0.0.1:${upstream.plainPort}/v1`],
      ])
      return some(program, target)
    },
  },
  {
    ...plain,
    name: 'mitmproxy',
    missing: mitmdump === null ? 'mitmproxy is not installed' : null,
    version: versionOf(mitmdump, ['--version'], /Mitmproxy: (\S+)/),
    async start(ground, upstream) {
      const { program, port } = await startMitmproxy(ground, [
        '--mode',
        `reverse:http://127.0.0.1:${upstream.plainPort}`,
      ])
      return some(program, plainTarget(port, ground))
    },
  },
  {
    ...overTls,
    name: 'direct, TLS',
    version: '',
    start: async (ground, upstream) => none(tlsTarget(upstream.tlsPort, ground)),
  },
  nginxTls('nginx, TLS', 'http1'),
  nginxTls('nginx, TLS, HTTP/2', 'http2'),
  undiciTls(FLOOR_TLS, 'http1'),
  undiciTls(FLOOR_HTTP2, 'http2'),
  {
    ...overTls,
    name: 'mitmproxy, CONNECT',
    missing: mitmdump === null ? 'mitmproxy is not installed' : null,
    version: versionOf(mitmdump, ['--version'], /Mitmproxy: (\S+)/),
    async start(ground, upstream) {
      const trusted = ['--set', `ssl_verify_upstream_trusted_ca=${ground.files.authority}`]
      const { program, port, folder } = await startMitmproxy(ground, trusted)
      const ca = readFileSync(join(folder, 'mitmproxy-ca-cert.pem'), 'utf8')
      const target = tlsTarget(upstream.tlsPort, ground)
      const tunnel = { authority: target.authority, authorization: null }
      return some(program, { ...target, port, tunnel, tls: { serverName: 'localhost', ca } })
    },
  },
  ...keywardPeers,
]

function nginxTls(name: string, protocol: Target['protocol']): Peer {
  return {
    ...overTls,
    floor: protocol === 'http2' ? FLOOR_HTTP2 : FLOOR_TLS,
    name,
    missing: nginx === null ? 'nginx is not installed' : null,
    version: versionOf(nginx, ['-v'], /nginx\/(\S+)/),
    async start(ground, upstream) {
      const port = await freePort()
      const listen = `listen 127.0.0.1:${port} ssl${protocol === 'http2' ? ' http2' : ''} backlog=4096;`
      const verified = `proxy_ssl_verify on; proxy_ssl_trusted_certificate ${ground.files.authority}; proxy_ssl_name localhost; proxy_ssl_server_name on;`
      const program = await startNginx(nginx ?? '', PROXY_CORE, ground, port, [
        `upstream mock { server 127.0.0.1:${upstream.tlsPort}; keepalive ${KEPT_CONNECTIONS}; keepalive_requests 100000000; }`,
        `server { ${listen} ${nginxCertificate(ground)} ${verified} ${passing('https://mock')} }`,
      ])
      return some(program, { ...tlsTarget(port, ground), protocol })
    },
  }
}

function undiciTls(name: string, protocol: Target['protocol']): Peer {
  return {
    ...overTls,
    floor: name,
    name,
    version: undiciVersion,
    async start(ground, upstream) {
      const { certificate, key, authority } = ground.files
      const args = [`https://localhost:${upstream.tlsPort}`, certificate, key, authority, protocol]
      return node(join(servers, 'undici.ts'), args, (port) => ({ ...tlsTarget(port, ground), protocol }))
    },
  }
}

function npm(name: string, file: string): Peer {
  return {
    ...plain,
    name,
    version: pinnedVersions.dependencies[name] ?? '',
    start: (ground, upstream) =>
      node(join(peersFolder, file), [`http://127.0.0.1:${upstream.plainPort}`], (port) => plainTarget(port, ground)),
  }
}

async function node(file: string, args: readonly string[], target: (port: number) => Target) {
  // Old packages call what Node deprecates; that is not what is measured.
  const program = startNode(PROXY_CORE, file, args, ['--no-deprecation'])
  return some(program, target(numberAt(await program.answer(), 'port')))
}

async function startMitmproxy(ground: Ground, more: readonly string[]) {
  const [folder, port] = [ground.place('mitmproxy'), await freePort()]
  const settings = ['--set', `confdir=${folder}`, '--set', 'stream_large_bodies=1', '--set', 'connection_strategy=lazy']
  const args = ['-q', '--listen-host', '127.0.0.1', '--listen-port', String(port), ...settings, ...more]
  const program = start({ core: PROXY_CORE, command: mitmdump ?? '', args, mute: true })
  await listening(port)
  return { program, port, folder }
}

/** nginx as a proxy that keeps its connections and holds nothing back. */
function passing(origin: string): string {
  return `location / { proxy_pass ${origin}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }`
}

function none(target: Target): Started {
  return { processId: null, targets: [target], stop: async () => undefined }
}

function some(program: Program, target: Target): Started {
  return { processId: program.processId, targets: [target], stop: program.stop }
}
