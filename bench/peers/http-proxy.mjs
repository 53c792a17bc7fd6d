import { Agent, createServer } from 'node:http'
import httpProxy from 'http-proxy'

/** http-proxy as its documentation sets it up, with a keep-alive agent. */
const proxy = httpProxy.createProxyServer({
  target: process.argv[2],
  agent: new Agent({ keepAlive: true, maxSockets: 128 }),
})
proxy.on('error', (_error, _request, response) => void response.destroy())
const server = createServer((request, response) => proxy.web(request, response))
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
