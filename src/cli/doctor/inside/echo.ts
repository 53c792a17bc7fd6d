import { request } from 'node:http'
import type { IncomingMessage, RequestOptions } from 'node:http'
import { connect as connectTls } from 'node:tls'
import type { Duplex } from 'node:stream'
import { ways } from './places.ts'
import type { Line, Places, Way } from './places.ts'

const ANSWER_MILLISECONDS = 5_000
const ANSWER_MAXIMUM_BYTES = 256 * 1024

/** Asks the echoing upstream for the key in every form and by every door of the gateway. */
export async function* echoAnswers(places: Places): AsyncGenerator<Line> {
  for (const way of ways) {
    for (const form of places.forms) {
      try {
        const response = await askEcho(places, way, form)
        const body = await bodyOf(response)
        const pairs = [...response.rawHeaders, ...response.rawTrailers]
        const head = pairs.map((text, index) => `${text}${index % 2 === 0 ? ': ' : '\n'}`).join('')
        const coding = response.headers['content-encoding'] ?? ''
        yield {
          kind: 'answer',
          way,
          form,
          status: response.statusCode ?? 0,
          head,
          coding,
          body: body.toString('base64'),
        }
      } catch (error) {
        const why = error instanceof Error ? error.message : 'no answer'
        yield { kind: 'unanswered', way, form, why }
      }
    }
  }
}

async function askEcho(places: Places, way: Way, form: string): Promise<IncomingMessage> {
  const { gateway, service, placeholder, token } = places
  const path = `/echo?form=${form}&way=${way}`
  const headers = { authorization: `Bearer ${placeholder}` }
  const proxy = { 'proxy-authorization': `Basic ${Buffer.from(`session:${token}`).toString('base64')}` }
  if (way === 'base') return ask({ ...gateway, agent: false, path: `/s/${service.id}${path}`, headers })
  if (way === 'absolute') {
    return ask({
      ...gateway,
      path: `http://${service.host}${path}`,
      headers: { host: service.host, ...headers, ...proxy },
    })
  }
  const tunnel = await openTunnel({ ...gateway, method: 'CONNECT', path: `${service.host}:443`, headers: proxy })
  // The authorities are those that the agent's own variables name.
  const secured = connectTls({ socket: tunnel, servername: service.host })
  try {
    return await ask({ path, headers: { host: service.host, ...headers }, createConnection: () => secured })
  } catch (error) {
    secured.destroy()
    throw error
  }
}

function ask(options: RequestOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asking = request(options, resolve)
    asking.setTimeout(ANSWER_MILLISECONDS, () => asking.destroy(new Error('no answer in time')))
    asking.on('error', reject)
    asking.end()
  })
}

function openTunnel(options: RequestOptions): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const asking = request({ ...options, agent: false })
    asking.setTimeout(ANSWER_MILLISECONDS, () => asking.destroy(new Error('no tunnel in time')))
    asking.on('error', reject)
    asking.on('connect', (response, socket) => {
      if (response.statusCode === 200) return resolve(socket)
      socket.destroy()
      reject(new Error(`the tunnel was refused with ${response.statusCode ?? 0}`))
    })
    asking.end()
  })
}

/** What came of the body, also of one that was broken off: bytes that arrived have arrived. */
async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response) {
      const bytes = Buffer.from(chunk)
      size += bytes.byteLength
      if (size > ANSWER_MAXIMUM_BYTES) break
      chunks.push(bytes)
    }
  } catch {
    // What is left to be judged is in the chunks.
  }
  return Buffer.concat(chunks)
}
