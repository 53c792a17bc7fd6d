import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { spawn } from 'node:child_process'
import { webcrypto } from 'node:crypto'
import { existsSync, realpathSync } from 'node:fs'
import { createSecureServer } from 'node:http2'
import type { Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SessionDirectory } from './session-directory.ts'
import { readPreload, writeSessionDirectory } from './session-directory.ts'
import { childVariables } from './variables.ts'

const token = webcrypto.randomUUID()
const bigBytes = 3_000_000
let session: SessionDirectory
let proxy: Server
let local: Server
let api: ReturnType<typeof createSecureServer>
const tunnels: string[] = []

beforeAll(async () => {
  const { caPem, key, certificate } = await makeCertificates('*.example.test')
  session = writeSessionDirectory({ caPem, preloadSource: readPreload(), parentEnvironment: {} })
  api = createSecureServer({ key, cert: certificate, allowHTTP1: true }, (request, response) => {
    let size = 0
    request.on('data', (chunk: Buffer) => (size += chunk.length))
    request.on('end', () => response.end(`${request.method} ${request.url} ${size}`))
  })
  local = createServer((request, response) => response.end(`local ${request.headers.host ?? ''}`))
  proxy = createServer((request, response) => response.end(`absolute ${request.url}`))
  await Promise.all(
    [api, local, proxy].map((server) => new Promise<void>((done) => server.listen(0, '127.0.0.1', done))),
  )
  proxy.on('connect', (request, socket) => {
    tunnels.push(request.url ?? '')
    const login = Buffer.from((request.headers['proxy-authorization'] ?? '').replace('Basic ', ''), 'base64').toString()
    if (login !== `session:${token}`) return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    if (request.url?.startsWith('denied.')) {
      const problem = JSON.stringify({ code: 'host_not_listed' })
      return void socket.end(`HTTP/1.1 403 Forbidden\r\ncontent-length: ${problem.length}\r\n\r\n${problem}`)
    }
    const upstream = connect(portOf(request.url?.endsWith(':80') ? local : api), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      socket.pipe(upstream).pipe(socket)
    })
    upstream.on('error', () => socket.destroy())
    socket.on('error', () => upstream.destroy())
  })
})

afterAll(() => {
  proxy.closeAllConnections()
  for (const server of [api, local, proxy]) server.close()
  session.remove()
})

const client = `
import https from 'node:https'
import http from 'node:http'
import http2 from 'node:http2'
import { rootCertificates, connect as tlsConnect } from 'node:tls'
const said = {}
const ask = async (name, work) => { try { said[name] = await work() } catch (error) { said[name] = 'error ' + (error.cause ?? error).message } }
const read = (answer) => new Promise((done) => { let text = ''; answer.on('data', (chunk) => (text += chunk)); answer.on('end', () => done(text)) })
const get = (module, url, options) => new Promise((done, fail) => module.get(url, options, (answer) => done(read(answer))).on('error', fail))
const keepAlive = new https.Agent({ keepAlive: true })
const site = 'https://api.example.test'
await ask('fetch', async () => (await fetch(site + '/fetch')).text())
await ask('fetchBig', async () => (await fetch(site + '/big', { method: 'POST', body: 'x'.repeat(${bigBytes}) })).text())
await ask('ownAgent', () => get(https, site + '/agent', { agent: keepAlive }))
await ask('ownAgentAgain', () => get(https, site + '/again', { agent: keepAlive }))
await ask('defaultAgent', () => get(https, site + '/default', {}))
await ask('ownAuthorities', () => get(https, site + '/ca', { agent: new https.Agent({ ca: rootCertificates.slice(0, 1) }) }))
await ask('refused', () => get(https, 'https://denied.example.test/', { agent: new https.Agent() }))
await ask('fetchRefused', async () => (await fetch('https://denied.example.test/')).text())
await ask('plain', () => get(http, 'http://api.example.test/plain', { agent: new http.Agent({ keepAlive: true }) }))
await ask('loopback', () => get(http, process.env.LOCAL, {}))
await ask('http2', () => new Promise((done, fail) => {
  const link = http2.connect(site).on('error', fail)
  const stream = link.request({ ':path': '/h2' }).on('error', fail)
  read(stream).then((text) => { link.close(); done(text) })
}))
await ask('tlsPortHost', () => new Promise((done, fail) => {
  const socket = tlsConnect(443, 'api.example.test', { servername: 'api.example.test' }, () => { done('secure ' + socket.authorized); socket.end() })
  socket.on('error', fail)
}))
console.log(JSON.stringify(said))
`

const nodes = [
  ...new Set([
    process.execPath,
    '/usr/bin/node',
    '/usr/local/bin/node',
    ...(process.env['KEYWARD_TEST_NODES'] ?? '').split(':'),
  ]),
]
  .filter((path) => path !== '' && existsSync(path))
  .map((path) => realpathSync(path))

describe.each([...new Set(nodes)])('a client under %s', (node) => {
  test.each(['1', undefined])(
    'reaches everything through the gateway (NODE_USE_ENV_PROXY=%s), and ends by itself',
    async (flag) => {
      const { variables } = childVariables({
        parentEnvironment: { PATH: process.env['PATH'] },
        placeholders: {},
        baseUrls: {},
        proxyUrl: `http://session:${token}@127.0.0.1:${portOf(proxy)}`,
        ...session,
        holdsSecret: () => false,
      })
      const { NODE_USE_ENV_PROXY: _, ...rest } = variables
      const env = {
        ...rest,
        ...(flag === undefined ? {} : { NODE_USE_ENV_PROXY: flag }),
        LOCAL: `http://127.0.0.1:${portOf(local)}/`,
      }
      const { out, err, code } = await runNode(node, env)
      expect(err.replaceAll(/.*(ExperimentalWarning|UNDICI-EHPA|Use `node --trace-warnings).*\n/g, '')).toBe('')
      expect(code).toBe(0)
      const said: unknown = JSON.parse(out)
      expect(said).toMatchObject({
        fetch: 'GET /fetch 0',
        fetchBig: `POST /big ${bigBytes}`,
        ownAgent: 'GET /agent 0',
        ownAgentAgain: 'GET /again 0',
        defaultAgent: 'GET /default 0',
        ownAuthorities: 'GET /ca 0',
        refused: expect.stringMatching(/^error .*(403|denied\.example\.test)/),
        fetchRefused: expect.stringMatching(/^error /),
        plain: expect.stringMatching(/^(local api\.example\.test|absolute http:\/\/api\.example\.test\/plain)$/),
        loopback: `local 127.0.0.1:${portOf(local)}`,
        http2: 'GET /h2 0',
        tlsPortHost: 'secure true',
      })
      expect(tunnels.every((target) => /^(api|denied)\.example\.test:(443|80)$/.test(target))).toBe(true)
    },
  )
})

function runNode(
  node: string,
  env: Record<string, string>,
): Promise<{ out: string; err: string; code: number | null }> {
  return new Promise((done) => {
    const child = spawn(node, ['--input-type=module', '-e', client], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
    child.on('close', (code) => done({ out, err, code }))
  })
}

function portOf(server: { address(): AddressInfo | string | null }): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function makeCertificates(host: string): Promise<{ caPem: string; key: string; certificate: string }> {
  x509.cryptoProvider.set(webcrypto)
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const times = {
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
  }
  const authority = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    ...times,
    serialNumber: '01',
    name: 'CN=Test authority',
    keys: authority,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  })
  const leaf = await x509.X509CertificateGenerator.create({
    ...times,
    serialNumber: '02',
    subject: `CN=${host}`,
    issuer: root.subject,
    signingKey: authority.privateKey,
    publicKey: keys.publicKey,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }])],
  })
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  return {
    caPem: root.toString('pem'),
    certificate: leaf.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`,
  }
}
