import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { makePlaceholder } from '../../../src/core/placeholder.ts'
import { operationOf, sealedBy } from '../../../src/core/policy.ts'
import type { RequestHead } from '../../../src/core/request.ts'
import { detectors } from '../../../src/detectors/index.ts'
import { findPlaceholder } from '../../../src/injectors/placement.ts'
import { services } from '../../../src/services/index.ts'
import type { Service } from '../../../src/services/service.ts'

/**
 * The rows of services against the vendors' own SDKs, without a gateway in between: given the variables
 * that a row names and nothing else, an SDK must come to the base URL, present the key in a place of
 * the row, and call an operation of the row.
 */
const clients = fileURLToPath(new URL('../../clients', import.meta.url))
const silence = 'catch(() => undefined)'

/** `program` makes one call; what the server answers is of no interest, only what it was asked. */
interface Check {
  readonly service: string
  readonly sdk: string
  readonly program: string
  readonly place: { readonly kind: string; readonly name?: string }
  readonly operation: string | null
  /** Variables that the SDK needs beside those of the row. */
  readonly beside?: Readonly<Record<string, string>>
}

const openai = "import OpenAI, { AzureOpenAI } from 'openai'\n"
const anthropic = "import Anthropic from '@anthropic-ai/sdk'\nconst client = new Anthropic({ maxRetries: 0 })\n"
const genai = "import { GoogleGenAI } from '@google/genai'\nconst client = new GoogleGenAI({})\n"
const messages = "[{ role: 'user', content: 'hello' }]"
const version = { OPENAI_API_VERSION: '2024-10-21' }

const checks: readonly Check[] = [
  {
    service: 'openai',
    sdk: 'openai, responses',
    program: `${openai}await new OpenAI({ maxRetries: 0 }).responses.create({ model: 'm', input: 'hello' }).${silence}`,
    place: { kind: 'bearer' },
    operation: 'responses.create',
  },
  {
    service: 'openai',
    sdk: 'openai, client secrets',
    program: `${openai}await new OpenAI({ maxRetries: 0 }).realtime.clientSecrets.create({}).${silence}`,
    place: { kind: 'bearer' },
    operation: null,
  },
  {
    service: 'azure-openai',
    sdk: 'AzureOpenAI of openai',
    program: `${openai}await new AzureOpenAI({ maxRetries: 0 }).chat.completions.create({ model: 'm', messages: ${messages} }).${silence}`,
    place: { kind: 'header', name: 'api-key' },
    operation: 'chat.completions',
    beside: version,
  },
  {
    service: 'anthropic',
    sdk: '@anthropic-ai/sdk, messages',
    program: `${anthropic}await client.messages.create({ model: 'm', max_tokens: 1, messages: ${messages} }).${silence}`,
    place: { kind: 'bearer' },
    operation: 'messages.create',
  },
  {
    service: 'gemini',
    sdk: '@google/genai, models',
    program: `${genai}await client.models.generateContent({ model: 'm', contents: 'hello' }).${silence}`,
    place: { kind: 'header', name: 'x-goog-api-key' },
    operation: 'content.generate',
  },
  {
    service: 'gemini',
    sdk: '@google/genai, ephemeral tokens',
    program: `${genai}await client.authTokens.create({ config: { httpOptions: { apiVersion: 'v1alpha' } } }).${silence}`,
    place: { kind: 'header', name: 'x-goog-api-key' },
    operation: null,
  },
]

const seen: RequestHead[] = []
const server = createServer((request, response) => {
  const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)])
  const { method = '', url = '' } = request
  seen.push({ method, scheme: 'https', host: 'api.example.com', port: 443, target: url, headers })
  request.resume()
  response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"seen"}}')
})
let origin = ''

beforeAll(async () => {
  if (!existsSync(join(clients, 'node_modules')))
    throw new Error('Run `npm ci --ignore-scripts` in test/clients first.')
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  origin = `http://127.0.0.1:${address.port}`
})
afterAll(() => server.close())
beforeEach(() => void seen.splice(0))

function serviceOf(id: string): Service {
  const service = services.find((row) => row.id === id)
  if (service === undefined) throw new Error(`there is no service ${id}`)
  return service
}

function keyFor(service: Service): string {
  const detector = detectors.find(({ id }) => id === service.detector)
  if (detector === undefined) throw new Error(`there is no detector ${service.detector}`)
  return makePlaceholder(detector.placeholder, (length, alphabet) =>
    Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join(''),
  ).text
}

/** Only the given variables: nothing of the caller's decides what the SDK does. */
async function run(program: string, variables: Readonly<Record<string, string>>): Promise<void> {
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: clients,
    env: { HOME: '/nonexistent', ...variables },
    timeout: 30_000,
  })
}

/** Each variable of the key that an SDK of this list reads, with each base-URL variable. */
const readHere = new Set([
  'OPENAI_API_KEY',
  'AZURE_OPENAI_API_KEY',
  'ANTHROPIC_API_KEY',
  'GEMINI_API_KEY',
  'GOOGLE_API_KEY',
])
const cases = checks.flatMap((check) => {
  const { variables } = serviceOf(check.service)
  const keys = (variables.fields['key'] ?? []).filter((name) => readHere.has(name))
  return keys.flatMap((key) => (variables.baseUrl ?? []).map((baseUrl) => ({ ...check, key, baseUrl })))
})

test.each(cases)(
  '$sdk: $key and $baseUrl',
  async ({ service: id, program, place, operation, key, baseUrl, beside }) => {
    const service = serviceOf(id)
    const text = keyFor(service)
    await run(program, { [key]: text, [baseUrl]: `${origin}${service.variables.basePath ?? ''}`, ...beside })
    const [head, ...more] = seen
    if (head === undefined) throw new Error('the SDK did not come to the base URL')
    expect(more).toEqual([])
    const found = findPlaceholder(head, service)
    expect(found?.text).toBe(text)
    expect(found?.rule).toMatchObject(place)
    const path = head.target.split('?', 1)[0] ?? ''
    expect(operationOf(service.operations, head.method, path)).toBe(operation)
    expect(sealedBy(service.sealed ?? [], head.method, path) !== null).toBe(operation === null)
  },
)

test('every key variable that these SDKs are said to read was tried', () => {
  expect(new Set(cases.map(({ key }) => key))).toEqual(readHere)
})

test('AzureOpenAI prefers the base URL of another service, so its row names that variable', async () => {
  const azure = serviceOf('azure-openai')
  const other = serviceOf('openai')
  const [check] = cases.filter(({ service }) => service === 'azure-openai')
  if (check === undefined) throw new Error('missing')
  const shadow = other.variables.baseUrl?.[0] ?? ''
  await run(check.program, {
    [check.key]: keyFor(azure),
    [check.baseUrl]: `${origin}/own`,
    [shadow]: `${origin}/other`,
    ...version,
  })
  expect(seen.map(({ target }) => target.split('/')[1])).toEqual(['other'])
  expect(azure.variables.shadowedBy).toContain(shadow)
})

test('stripe reads no variable and sends Bearer', async () => {
  const service = serviceOf('stripe')
  const variables = Object.fromEntries((service.variables.fields['key'] ?? []).map((name) => [name, keyFor(service)]))
  await expect(run("import { Stripe } from 'stripe'\nnew Stripe()", variables)).rejects.toThrow(/apiKey|authenticator/i)
  const text = keyFor(service)
  const program = `import { Stripe } from 'stripe'
const client = new Stripe(process.env.KEY, { host: '127.0.0.1', port: ${new URL(origin).port}, protocol: 'http', maxNetworkRetries: 0 })
await client.customers.list().${silence}
await client.ephemeralKeys.create({ customer: 'c' }, { apiVersion: '2025-01-01' }).${silence}`
  await run(program, { KEY: text })
  const [list, ephemeral] = seen
  if (list === undefined || ephemeral === undefined) throw new Error('the SDK did not come')
  expect(findPlaceholder(list, service)).toMatchObject({ text, rule: { kind: 'bearer' } })
  expect(operationOf(service.operations, list.method, list.target.split('?', 1)[0] ?? '')).toBe('customers.list')
  expect(sealedBy(service.sealed ?? [], ephemeral.method, ephemeral.target)).not.toBeNull()
})
