import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import type { ServiceView } from '../api/answers.ts'
import { KeywardError } from '../core/errors.ts'
import { askYes } from './confirm.ts'
import type { Io } from './io.ts'
import { note } from './print.ts'
import { recogniseKeys } from './recognise.ts'
import type { FoundKey, FoundVariable } from './recognise.ts'
import { sampleName } from './sample-name.ts'

const MAX_ENV_FILE_CHARACTERS = 1024 * 1024

/** What is said of a key before it is taken: everything but the key. */
export function describeKey(key: FoundKey): string {
  return `${key.variables.map((one) => one.name).join(', ')} (${key.service}, ${key.characters} characters, in ${key.origin})`
}

/** The variables of `./.env`, which programs read beside their environment; none where there is no such file. */
export function readEnvFile(io: Io): ReadonlyMap<string, string> {
  try {
    const text = readFileSync(join(io.workingDirectory, '.env'), 'utf8')
    if (text.length > MAX_ENV_FILE_CHARACTERS) return new Map()
    return new Map(
      Object.entries(parseEnv(text)).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    )
  } catch {
    return new Map()
  }
}

/**
 * The first run: keys that lie in the environment or `./.env` become credentials named by their
 * service, with a grant for everything to `agent`. Asked for while the vault has no credential but the
 * sample's and the agent no grant; nothing is changed where they lie. Services that already have a
 * credential in the environment are left out.
 */
export async function adoptKeys(io: Io, agent: string, environment: string, adopt: boolean): Promise<void> {
  const client = io.client()
  const known = await client.call('GET /credentials', {}, { environment })
  if (!adopt && (known.some((one) => one.service !== sampleName) || (await hasGrant(io, agent, environment)))) return
  const services = await client.call('GET /services', {}, {})
  const held = new Set(known.map((one) => one.service))
  const names = new Set(known.map((one) => one.name))
  const recognised = recogniseKeys(surroundingVariables(io), services)
  if (adopt) await grantHeldKeys(io, agent, environment, recognised)
  const keys = recognised.filter((key) => !held.has(key.service) && !names.has(key.credential))
  if (keys.length === 0) return
  if (!adopt) {
    if (!io.interactive) throw adoptionRequired(keys, services, agent, environment)
    note(io, `Keyward found ${keys.length === 1 ? 'a key' : `${keys.length} keys`}:`)
    for (const key of keys) note(io, `  ${describeKey(key)}`)
    const question = `Copy ${keys.length === 1 ? 'it' : 'them'} into the vault (${environment}) and let agent ${agent} use ${keys.length === 1 ? 'it' : 'them'}?`
    if (!(await askYes(io, question))) throw new KeywardError('adoption_required', 'Nothing was adopted.')
  }
  await ensureAgent(io, agent, environment)
  for (const key of keys) {
    await client.call(
      'POST /environments/:environment/credentials',
      { environment },
      { name: key.credential, service: key.service, fields: key.fields },
    )
    await grantAll(io, agent, environment, key.credential)
    if (adopt) note(io, `keyward: ${describeKey(key)} is in the vault (${environment}) now; agent ${agent} may use it.`)
  }
}

/** Keys that the vault took for another agent: with `--adopt` this one gets to use them as well. */
async function grantHeldKeys(io: Io, agent: string, environment: string, keys: readonly FoundKey[]): Promise<void> {
  const texts = keys.flatMap((key) => Object.values(key.fields))
  if (texts.length === 0) return
  const { holders } = await io.client().call('POST /occurrences', {}, { texts, environment })
  const grants = await io.client().call('GET /grants', {}, { environment })
  const granted = new Set(grants.flatMap((one) => (one.agent === agent ? [one.credential] : [])))
  const lacking = new Set(holders.flatMap((name) => (name === null || granted.has(name) ? [] : [name])))
  if (lacking.size === 0) return
  await ensureAgent(io, agent, environment)
  for (const credential of lacking) {
    await grantAll(io, agent, environment, credential)
    note(io, `keyward: ${credential} is in the vault (${environment}) already; agent ${agent} may use it now.`)
  }
}

async function ensureAgent(io: Io, agent: string, environment: string): Promise<void> {
  const agents = await io.client().call('GET /agents', {}, { environment })
  if (agents.some((one) => one.name === agent)) return
  await io.client().call('POST /environments/:environment/agents', { environment }, { name: agent })
}

async function grantAll(io: Io, agent: string, environment: string, credential: string): Promise<void> {
  await io.client().call('POST /environments/:environment/grants', { environment }, { agent, credential, allow: ['*'] })
}

async function hasGrant(io: Io, agent: string, environment: string): Promise<boolean> {
  const grants = await io.client().call('GET /grants', {}, { environment })
  return grants.some((one) => one.agent === agent)
}

function surroundingVariables(io: Io): Map<string, FoundVariable> {
  const variables = new Map<string, FoundVariable>()
  for (const [name, value] of readEnvFile(io)) variables.set(name, { value, origin: '.env' })
  for (const [name, value] of Object.entries(io.environment)) {
    if (value !== undefined && value !== '' && !name.startsWith('KEYWARD_'))
      variables.set(name, { value, origin: 'the environment' })
  }
  return variables
}

function adoptionRequired(
  keys: readonly FoundKey[],
  services: readonly ServiceView[],
  agent: string,
  environment: string,
): KeywardError {
  const commands = keys.map((key) => {
    const kinds = services.find((one) => one.id === key.service)?.fields ?? {}
    const [only, ...more] = key.variables
    const source =
      more.length === 0 && Object.keys(kinds).length === 1
        ? `--from-variable ${only?.name ?? ''}`
        : key.variables.map((one) => `--field ${one.field}=env:${one.name}`).join(' ')
    return [
      `keyward credential add ${key.credential} --service ${key.service} --env ${environment} ${source}`,
      `keyward grant add --agent ${agent} --credential ${key.credential} --env ${environment} --allow '*'`,
    ].join('; ')
  })
  commands.unshift(`keyward agent add ${agent} --env ${environment}`)
  return new KeywardError(
    'adoption_required',
    `Found: ${keys.map(describeKey).join(', ')}. By hand: ${commands.join('; ')}.`,
  )
}
