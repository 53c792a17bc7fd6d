import { headerOf, jsonAnswer, type Answer, type Call, type VendorRules } from './vendor.ts'

const model = 'gemini-3-pro'

/**
 * The Gemini API (https://ai.google.dev/api/generate-content): `generateContent`, and
 * `streamGenerateContent?alt=sse`. A wrong key is 400 `INVALID_ARGUMENT` with the reason
 * `API_KEY_INVALID`, none is 403 `PERMISSION_DENIED` (https://ai.google.dev/gemini-api/docs/troubleshooting
 * and https://cloud.google.com/apis/design/errors for the form).
 */
export function geminiRules(reply = 'The fake vendor greets you.'): VendorRules {
  return {
    name: 'gemini',
    presented: (call) => headerOf(call, 'x-goog-api-key') ?? call.query.get('key'),
    refuse: (presented) => (presented === null ? unregistered() : invalidKey()),
    notFound: (call) => status(404, 'NOT_FOUND', `Requested entity was not found: ${call.path}`),
    answer: (call) => {
      const action = /^\/v1(?:beta|alpha)?\/models\/[^/:]+:(\w+)$/.exec(call.path)?.[1]
      if (call.method === 'POST' && action === 'generateContent')
        return jsonAnswer(200, chunk(call, textFor(call, reply), 'STOP'))
      if (call.method === 'POST' && action === 'streamGenerateContent') return stream(call, reply)
      if (call.method === 'POST' && action === 'countTokens') return jsonAnswer(200, { totalTokens: 12 })
      if (call.method === 'GET' && /^\/v1(?:beta)?\/models$/.test(call.path)) {
        return jsonAnswer(200, {
          models: [{ name: `models/${model}`, displayName: 'Gemini', supportedGenerationMethods: ['generateContent'] }],
        })
      }
      return null
    },
  }
}

function stream(call: Call, reply: string): Answer {
  const middle = Math.ceil(reply.length / 2)
  const chunks = [chunk(call, reply.slice(0, middle)), chunk(call, reply.slice(middle), 'STOP')]
  if (call.query.get('alt') !== 'sse') return jsonAnswer(200, chunks)
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream' },
    body: chunks.map((each) => `data: ${JSON.stringify(each)}\r\n\r\n`),
  }
}

/** A model that is asked for JSON by a schema answers JSON: the first question of Gemini CLI is one. */
function textFor(call: Call, reply: string): string {
  const config = call.json['generationConfig']
  const schema = isObject(config) ? (config['responseJsonSchema'] ?? config['responseSchema']) : undefined
  return isObject(schema) ? JSON.stringify(sample(schema, reply)) : reply
}

function sample(schema: Readonly<Record<string, unknown>>, reply: string): unknown {
  const type = String(schema['type']).toLowerCase()
  if (Array.isArray(schema['enum'])) return schema['enum'][0]
  if (type === 'string') return reply
  if (type === 'integer' || type === 'number') return 1
  if (type === 'boolean') return false
  if (type === 'array') return []
  const properties = isObject(schema['properties']) ? schema['properties'] : {}
  return Object.fromEntries(
    Object.entries(properties).map(([name, each]) => [name, isObject(each) ? sample(each, reply) : null]),
  )
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function chunk(call: Call, reply: string, finishReason?: string): Readonly<Record<string, unknown>> {
  return {
    candidates: [
      {
        content: { role: 'model', parts: [{ text: reply }] },
        index: 0,
        ...(finishReason === undefined ? {} : { finishReason }),
      },
    ],
    usageMetadata: { promptTokenCount: 12, candidatesTokenCount: 7, totalTokenCount: 19 },
    modelVersion: /models\/([^/:]+):/.exec(call.path)?.[1] ?? model,
    responseId: 'fakeVendorResponse',
  }
}

function status(code: number, name: string, message: string, details: readonly unknown[] = []): Answer {
  return jsonAnswer(
    code,
    { error: { code, message, status: name, ...(details.length === 0 ? {} : { details }) } },
    { 'content-type': 'application/json; charset=UTF-8' },
  )
}

function invalidKey(): Answer {
  const message = 'API key not valid. Please pass a valid API key.'
  return status(400, 'INVALID_ARGUMENT', message, [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: 'API_KEY_INVALID',
      domain: 'googleapis.com',
      metadata: { service: 'generativelanguage.googleapis.com' },
    },
    { '@type': 'type.googleapis.com/google.rpc.LocalizedMessage', locale: 'en-US', message },
  ])
}

function unregistered(): Answer {
  return status(
    403,
    'PERMISSION_DENIED',
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
  )
}
