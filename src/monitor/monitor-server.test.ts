import { request } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import { listenMonitor, type MonitorServer, type Readiness } from './monitor-server.ts'

const open: MonitorServer[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.close()
})

async function serve(readiness: () => Readiness = () => []): Promise<number> {
  const metrics = { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: async () => 'a_metric 1\n' }
  const server = await listenMonitor({ host: '127.0.0.1', port: 0, metrics, readiness })
  open.push(server)
  return Number(server.address.split(':').at(-1))
}

interface Told {
  readonly status: number
  readonly type: string
  readonly text: string
}

function ask(port: number, path: string, { method = 'GET', host = `127.0.0.1:${port}` } = {}): Promise<Told> {
  return new Promise((done, fail) => {
    const asked = request({ host: '127.0.0.1', port, path, method, headers: { host }, agent: false }, (answer) => {
      let text = ''
      answer.on('data', (chunk: Buffer) => void (text += chunk.toString()))
      answer.once('end', () =>
        done({ status: answer.statusCode ?? 0, type: answer.headers['content-type'] ?? '', text }),
      )
    })
    asked.once('error', fail)
    asked.end()
  })
}

test('it runs, it is ready, it has metrics', async () => {
  const port = await serve()
  expect(await ask(port, '/healthz')).toMatchObject({ status: 200, text: 'ok\n' })
  expect(await ask(port, '/readyz')).toMatchObject({ status: 200, text: 'ready\n' })
  expect(await ask(port, '/metrics')).toEqual({
    status: 200,
    type: 'text/plain; version=0.0.4; charset=utf-8',
    text: 'a_metric 1\n',
  })
})

test('what stands in the way is named by its codes, and is no reason to be killed', async () => {
  const reasons: ('lease_lost' | 'journal_unwritable')[] = ['lease_lost', 'journal_unwritable']
  const port = await serve(() => reasons)
  expect(await ask(port, '/readyz')).toMatchObject({ status: 503, text: 'lease_lost\njournal_unwritable\n' })
  expect(await ask(port, '/healthz')).toMatchObject({ status: 200 })
  reasons.splice(0)
  expect(await ask(port, '/readyz')).toMatchObject({ status: 200 })
})

test('under a name that somebody had lead here nothing is told', async () => {
  const port = await serve()
  for (const host of ['attacker.example.test', `attacker.example.test:${port}`, '127.0.0.1.example.test'])
    expect(await ask(port, '/metrics', { host }), host).toMatchObject({ status: 421, text: 'Ask by address.\n' })
  for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', '10.1.2.3:9464', '[::1]:9464', '[fd00::1]'])
    expect(await ask(port, '/metrics', { host }), host).toMatchObject({ status: 200 })
})

test('nothing can be changed and nothing else is there', async () => {
  const port = await serve()
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
    expect((await ask(port, '/metrics', { method })).status, method).toBe(404)
  for (const path of ['/', '/status', '/credentials', '/metrics/', '/metrics/..'])
    expect((await ask(port, path)).status, path).toBe(404)
})

test('a port that is taken is said to be', async () => {
  const port = await serve()
  const metrics = { contentType: 'text/plain', text: async () => '' }
  const second = listenMonitor({ host: '127.0.0.1', port, metrics, readiness: () => [] })
  await expect(second).rejects.toSatisfy((error) => error instanceof KeywardError && error.code === 'port_in_use')
})
