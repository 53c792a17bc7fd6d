import { createServer } from 'node:http'

/** The mock behind every proxy: takes a body, answers 1 KB of JSON. Used where nginx is not installed. */
const body = JSON.stringify({ id: 'bench', object: 'chat.completion', text: 'x'.repeat(960) })
const server = createServer({ keepAlive: true }, (request, response) => {
  request.resume()
  request.once('end', () => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
    response.end(body)
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') console.log(JSON.stringify({ port: address.port }))
})
