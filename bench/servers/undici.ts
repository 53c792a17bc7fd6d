import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { Pool } from 'undici'

/**
 * The floor of the library's path: node:http in, undici dispatch out, nothing else.
 * With a certificate, a key and an authority (paths) it has TLS on both legs.
 *   node undici.ts ORIGIN [CERTIFICATE KEY AUTHORITY]
 */
const [origin = '', certificate, key, authority] = process.argv.slice(2)
const pool = new Pool(origin, {
  connections: 128,
  pipelining: 1,
  ...(authority === undefined ? {} : { connect: { ca: readFileSync(authority) } }),
})
const relay: RequestListener = (request, response) => {
  const headers: string[] = []
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index] ?? ''
    if (!/^(connection|host)$/i.test(name)) headers.push(name, request.rawHeaders[index + 1] ?? '')
  }
  pool.dispatch(
    {
      path: request.url ?? '/',
      method: request.method ?? 'GET',
      headers,
      body: request.method === 'GET' ? null : request,
    },
    {
      onRequestStart() {},
      onResponseStart(controller, status) {
        const raw = Array.isArray(controller.rawHeaders) ? controller.rawHeaders.map(String) : []
        response.sendDate = false
        response.writeHead(status, raw)
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
const server: Server =
  certificate === undefined || key === undefined
    ? createServer(relay)
    : createSecureServer({ cert: readFileSync(certificate), key: readFileSync(key) }, relay)
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') console.log(JSON.stringify({ port: address.port }))
})
