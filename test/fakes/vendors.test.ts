import { randomBytes } from 'node:crypto'
import { request } from 'node:https'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { anthropicRules } from './anthropic.ts'
import { createAuthority, type Authority } from './authority.ts'
import { geminiRules } from './gemini.ts'
import { openaiRules } from './openai.ts'
import { stripeRules } from './stripe.ts'
import { startVendor, type FakeVendor, type VendorRules } from './vendor.ts'

const key = `right-${randomBytes(16).toString('hex')}`
const wrong = `wrong-${randomBytes(16).toString('hex')}`

let authority: Authority
const vendors = new Map<string, FakeVendor>()

beforeAll(async () => {
  authority = await createAuthority()
  const leaf = await authority.issue(['127.0.0.1'])
  const rules: VendorRules[] = [openaiRules(), anthropicRules(), geminiRules(), stripeRules()]
  for (const each of rules) vendors.set(each.name, await startVendor(each, { key, leaf }))
})
afterAll(() => Promise.all([...vendors.values()].map((vendor) => vendor.close())))

function vendor(name: string): FakeVendor {
  const found = vendors.get(name)
  if (found === undefined) throw new Error(name)
  return found
}

interface Reply {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: Buffer
}

function call(name: string, path: string, headers: Record<string, string> = {}, body?: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${vendor(name).origin}${path}`,
      { method: body === undefined ? 'GET' : 'POST', headers, ca: authority.certificate },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) }),
        )
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

it.each([
  ['openai', { authorization: `Bearer ${wrong}` }, 401, /"code":"invalid_api_key"/],
  ['openai', {}, 401, /You didn't provide an API key/],
  ['anthropic', { 'x-api-key': wrong }, 401, /"type":"authentication_error","message":"invalid x-api-key"/],
  ['gemini', { 'x-goog-api-key': wrong }, 400, /API_KEY_INVALID/],
  ['gemini', {}, 403, /PERMISSION_DENIED/],
  [
    'stripe',
    { authorization: `Basic ${Buffer.from(`${wrong}:`).toString('base64')}` },
    401,
    /Invalid API Key provided/,
  ],
])('%s answers a wrong key or none as the vendor does', async (name, headers, status, text) => {
  const reply = await call(name, '/v1/models', headers)
  expect(reply.status).toBe(status)
  expect(reply.body.toString()).toMatch(text)
  expect(reply.body.toString()).not.toContain(wrong)
  expect(vendor(name).seen.at(-1)).toMatchObject({ accepted: false, status })
})

it('streams what an OpenAI client reads, each event with its number', async () => {
  const reply = await call('openai', '/v1/responses', { authorization: `Bearer ${key}` }, '{"stream":true}')
  const events = [...reply.body.toString().matchAll(/^data: (.+)$/gm)].map(([, data]) => JSON.parse(data ?? ''))
  expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index))
  expect(events.at(-1)).toMatchObject({ type: 'response.completed', response: { status: 'completed' } })
})

it('answers a schema with JSON that fits it', async () => {
  const schema = { type: 'OBJECT', properties: { why: { type: 'STRING' }, score: { type: 'INTEGER' } } }
  const reply = await call(
    'gemini',
    '/v1beta/models/m:generateContent',
    { 'x-goog-api-key': key },
    JSON.stringify({ generationConfig: { responseJsonSchema: schema } }),
  )
  const text = JSON.parse(reply.body.toString()).candidates[0].content.parts[0].text
  expect(JSON.parse(text)).toEqual({ why: expect.any(String), score: 1 })
})

it('echoes what it received, compressed where asked, and records every byte that it sent', async () => {
  const reply = await call('anthropic', '/echo?coding=gzip&form=base64&header=1', { 'x-api-key': key })
  const heard = JSON.parse(Buffer.from(gunzipSync(reply.body).toString(), 'base64').toString())
  expect(heard.headers['x-api-key']).toBe(key)
  expect(reply.headers['x-heard']).toBe(key)
  const sent = vendor('anthropic').sent()
  expect(sent.includes(reply.body)).toBe(true)
  expect(sent.includes(`x-heard: ${key}`)).toBe(true)
})
