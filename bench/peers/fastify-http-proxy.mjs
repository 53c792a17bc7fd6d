import proxy from '@fastify/http-proxy'
import Fastify from 'fastify'

/** @fastify/http-proxy as its documentation sets it up; undici with the same pool as the others. */
const app = Fastify()
await app.register(proxy, { upstream: process.argv[2], undici: { connections: 128, pipelining: 1 } })
await app.listen({ port: 0, host: '127.0.0.1' })
console.log(JSON.stringify({ port: app.server.address().port }))
