import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import type { Readable } from 'node:stream'
import { Pool } from 'undici'

/**
 * The floor of the libraries' path: node:http in, undici dispatch out, nothing else.
 * With a certificate, a key and an authority (paths) it has TLS on both legs, and HTTP/2 in front where asked for.
 *   node undici.ts ORIGIN [CERTIFICATE KEY AUTHORITY PROTOCOL]
 */
const [origin = '', certificate, key, authority, protocol] = process.argv.slice(2)
const pool = new Pool(origin, {
  connections: 128,
  pipelining: 1,
  ...(authority === undefined ? {} : { connect: { ca: readFileSync(authority) } }),
})

type Request = Readable & {
  readonly url?: string | undefined
  readonly method?: string | undefined
  readonly rawHeaders: readonly string[]
}
interface Response {
  sendDate: boolean
  writeHead(status: number, headers: string[]): unknown
  write(chunk: Uint8Array): boolean
  end(): unknown
  destroy(error?: Error): unknown
}

/** Without what belongs to one connection, and the names that HTTP/2 puts before the headers. */
function passedOn(raw: readonly string[]): string[] {
  const headers: string[] = []
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] ?? ''
    if (!/^(:.*|connection|keep-alive|transfer-encoding|host)$/i.test(name)) headers.push(name, raw[index + 1] ?? '')
  }
  return headers
}

function relay(request: Request, response: Response): void {
  pool.dispatch(
    {
      path: request.url ?? '/',
      method: request.method ?? 'GET',
      headers: passedOn(request.rawHeaders),
      body: request.method === 'GET' ? null : request,
    },
    {
      onRequestStart() {},
      onResponseStart(controller, status) {
        const raw = Array.isArray(controller.rawHeaders) ? controller.rawHeaders.map(String) : []
        response.sendDate = false
        response.writeHead(status, passedOn(raw))
      },
      onResponseData(_controller, chunk) {
        response.write(chunk)
      },
      onResponseEnd() {
        response.end()
      },
      onResponseError() {
        response.destroy()
      },
    },
  )
}

function open() {
  if (certificate === undefined || key === undefined) return createServer(relay)
  const identity = { cert: readFileSync(certificate), key: readFileSync(key) }
  return protocol === 'http2' ? createSecureServer(identity, relay) : createHttpsServer(identity, relay)
}
const server = open()
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') console.log(JSON.stringify({ port: address.port }))
})
