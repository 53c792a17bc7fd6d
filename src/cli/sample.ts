import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { App } from '../app.ts'
import { Secret } from '../core/secret.ts'
import { parseService } from '../services/definition.ts'
import { sampleName as NAME } from './sample-name.ts'

const ENVIRONMENT = 'dev'
const KEY_RANDOM_BYTES = 24

export interface Sample {
  /** One line to copy: it shows what the agent holds and what the service received. */
  readonly command: string
  close(): void
}

/**
 * A service on loopback, with a credential made up on the spot and an agent that may use it: the
 * swap can be seen before a real key is at hand. It knows its key as any vendor would.
 */
export async function startSample(app: App, actor: string): Promise<Sample> {
  const server = createServer((request, response) => answer(app, request, response))
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  await describeService(app, port, actor)
  if (app.credentials.find(ENVIRONMENT, NAME) === undefined) {
    const key = Secret.fromText('key', `real-key-${randomBytes(KEY_RANDOM_BYTES).toString('base64url')}`)
    await app.credentials.add(
      { name: NAME, environment: ENVIRONMENT, service: NAME, fields: { key }, owner: null, sensitivity: 'low' },
      actor,
    )
  }
  if (app.agents.find(ENVIRONMENT, NAME) === undefined) {
    const { id } = await app.agents.add({ name: NAME, environment: ENVIRONMENT, owner: null }, actor)
    const credentialId = app.credentials.find(ENVIRONMENT, NAME)?.id ?? ''
    await app.grants.add({ agentId: id, credentialId, allow: ['*'], deny: [], limits: {}, expiresAt: null }, actor)
  }
  return {
    command: `./keyward run --agent ${NAME} -- sh -c 'echo "The agent holds:      $SAMPLE_API_KEY"; curl -s -H "authorization: Bearer $SAMPLE_API_KEY" "$SAMPLE_BASE_URL/"'`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** The port is another at every start, so the service is written anew where it changed. */
async function describeService(app: App, port: number, actor: string): Promise<void> {
  const endpoint = `http://127.0.0.1:${port}`
  if (app.services.get(NAME)?.endpoint === endpoint) return
  const text = `id: ${NAME}\nname: Sample\nhosts: [sample.keyward.test]\nendpoint: ${endpoint}\ninject: { kind: bearer }\nvariables: { key: SAMPLE_API_KEY, baseUrl: SAMPLE_BASE_URL }\n`
  const definition = parseService(text, () => '', [])
  await app.records.commit([{ table: 'service', id: NAME, body: { definition, createdAt: app.now() } }], {
    actor,
    action: 'service.add',
    detail: { service: NAME },
  })
}

function answer(app: App, request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  const presented = (request.headers.authorization ?? '').replace(/^bearer /i, '')
  const right = isKey(app, presented)
  const shape = presented === '' ? 'no key' : `${presented.slice(0, 9)}… (${presented.length} characters)`
  response.writeHead(right ? 200 : 401, { 'content-type': 'text/plain; charset=utf-8' })
  response.end(`The service received: ${shape}, ${right ? 'which is the real key' : 'which is not its key'}.\n`)
}

function isKey(app: App, presented: string): boolean {
  const found = app.credentials.find(ENVIRONMENT, NAME)
  if (found === undefined || found.record.state !== 'active') return false
  const { key } = app.credentials.current(found.id).fields
  if (!(key instanceof Secret)) return false
  const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()
  return timingSafeEqual(key.reveal(digest), digest(Buffer.from(presented)))
}
