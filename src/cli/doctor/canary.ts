import { randomBytes } from 'node:crypto'
import { KeywardError } from '../../core/errors.ts'
import type { Io } from '../io.ts'
import type { EchoUpstream } from './echo-upstream.ts'
import { startEchoUpstream } from './echo-upstream.ts'

const LEFT_BEHIND_AFTER_MILLISECONDS = 120_000
const namePattern = /^keyward-doctor-[0-9a-f]{12}$/

/** A credential with a secret made up on the spot, a service that knows it, and an agent that may use it. */
export interface Canary {
  /** Of service, credential and agent alike. */
  readonly name: string
  readonly host: string
  readonly environment: string
  readonly secret: string
  readonly upstream: EchoUpstream
  remove(): Promise<void>
}

export async function makeCanary(io: Io, environment: string): Promise<Canary> {
  await removeLeftBehind(io)
  const name = `keyward-doctor-${randomBytes(6).toString('hex')}`
  const host = `${name}.test`
  const secret = `kwdoctor${randomBytes(30).toString('base64url').replaceAll(/[-_]/g, 'x')}`
  const upstream = await startEchoUpstream(secret)
  const canary: Canary = {
    name,
    host,
    environment,
    secret,
    upstream,
    async remove() {
      await upstream.close()
      await removeNamed(io, environment, name)
    },
  }
  try {
    const client = io.client()
    const definition = `id: ${name}\nname: Doctor\nhosts: [${host}]\nendpoint: http://127.0.0.1:${upstream.port}\ninject: { kind: bearer }\nvariables: { key: KEYWARD_DOCTOR_KEY, baseUrl: KEYWARD_DOCTOR_URL }\n`
    await client.call('POST /services', {}, { definition })
    const fields = { key: secret }
    await client.call(
      'POST /environments/:environment/credentials',
      { environment },
      { name, service: name, fields, sensitivity: 'low' },
    )
    await client.call('POST /environments/:environment/agents', { environment }, { name })
    await client.call(
      'POST /environments/:environment/grants',
      { environment },
      { agent: name, credential: name, allow: ['*'] },
    )
    return canary
  } catch (error) {
    await canary.remove()
    throw error
  }
}

/** What a doctor that was killed could not remove. */
async function removeLeftBehind(io: Io): Promise<void> {
  const client = io.client()
  const before = Date.now() - LEFT_BEHIND_AFTER_MILLISECONDS
  const [agents, credentials] = await Promise.all([
    client.call('GET /agents', {}, {}),
    client.call('GET /credentials', {}, {}),
  ])
  const left = new Map(
    [...agents, ...credentials]
      .filter((one) => namePattern.test(one.name) && one.createdAt < before)
      .map((one) => [one.name, one.environment]),
  )
  for (const [name, environment] of left) await removeNamed(io, environment, name)
}

async function removeNamed(io: Io, environment: string, name: string): Promise<void> {
  const client = io.client()
  await unlessGone(client.call('DELETE /environments/:environment/agents/:name', { environment, name }, {}))
  await unlessGone(
    client.call('DELETE /environments/:environment/credentials/:name', { environment, name }, { cascade: true }),
  )
  await unlessGone(client.call('DELETE /services/:service', { service: name }, {}))
}

async function unlessGone(removal: Promise<unknown>): Promise<void> {
  try {
    await removal
  } catch (error) {
    if (!(error instanceof KeywardError) || !['not_found', 'service_unknown'].includes(error.code)) throw error
  }
}
