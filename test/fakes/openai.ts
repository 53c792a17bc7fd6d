import { bearerOf, jsonAnswer, type Answer, type Call, type VendorRules } from './vendor.ts'

const model = 'gpt-5.6'
const createdAt = 1_767_225_600

/**
 * Responses (https://platform.openai.com/docs/api-reference/responses-streaming gives the order of
 * events), chat completions and models. A wrong key is 401 with the code `invalid_api_key`, and the
 * text quotes it masked (https://platform.openai.com/docs/guides/error-codes).
 */
export function openaiRules(reply = 'The fake vendor greets you.'): VendorRules {
  return {
    name: 'openai',
    presented: bearerOf,
    refuse: (presented) =>
      presented === null
        ? failure(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            null,
          )
        : failure(
            401,
            `Incorrect API key provided: ${masked(presented)}. You can find your API key at https://platform.openai.com/account/api-keys.`,
            'invalid_api_key',
          ),
    notFound: (call) => failure(404, `Invalid URL (${call.method} ${call.path})`, null),
    answer: (call) => {
      const streamed = call.json['stream'] === true
      if (call.method === 'POST' && call.path === '/v1/responses')
        return streamed ? responseStream(call, reply) : jsonAnswer(200, completed(call, reply), ids())
      if (call.method === 'POST' && call.path === '/v1/chat/completions')
        return streamed ? chatStream(call, reply) : jsonAnswer(200, chat(call, reply), ids())
      if (call.method === 'GET' && call.path === '/v1/models')
        return jsonAnswer(
          200,
          { object: 'list', data: [{ id: model, object: 'model', created: createdAt, owned_by: 'openai' }] },
          ids(),
        )
      return null
    },
  }
}

function completed(call: Call, reply: string): Readonly<Record<string, unknown>> {
  return {
    ...response(call, 'completed'),
    output: [outputMessage('completed', reply)],
    usage: {
      input_tokens: 12,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 7,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 19,
    },
  }
}

function responseStream(call: Call, reply: string): Answer {
  const middle = Math.ceil(reply.length / 2)
  const place = { item_id: 'msg_fakevendor', output_index: 0, content_index: 0 }
  const events: Readonly<Record<string, unknown>>[] = [
    { type: 'response.created', response: response(call, 'in_progress') },
    { type: 'response.in_progress', response: response(call, 'in_progress') },
    { type: 'response.output_item.added', output_index: 0, item: outputMessage('in_progress') },
    { type: 'response.content_part.added', ...place, part: textPart('') },
    { type: 'response.output_text.delta', ...place, delta: reply.slice(0, middle), logprobs: [] },
    { type: 'response.output_text.delta', ...place, delta: reply.slice(middle), logprobs: [] },
    { type: 'response.output_text.done', ...place, text: reply, logprobs: [] },
    { type: 'response.content_part.done', ...place, part: textPart(reply) },
    { type: 'response.output_item.done', output_index: 0, item: outputMessage('completed', reply) },
    { type: 'response.completed', response: completed(call, reply) },
  ]
  return sse(
    events.map(
      (event, index) =>
        `event: ${String(event['type'])}\ndata: ${JSON.stringify({ ...event, sequence_number: index })}\n\n`,
    ),
  )
}

function response(call: Call, status: string): Readonly<Record<string, unknown>> {
  return {
    id: 'resp_fakevendor',
    object: 'response',
    created_at: createdAt,
    status,
    error: null,
    incomplete_details: null,
    instructions: null,
    metadata: {},
    model: call.json['model'] ?? model,
    output: [],
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
    usage: null,
  }
}

function outputMessage(status: string, text?: string): Readonly<Record<string, unknown>> {
  return {
    id: 'msg_fakevendor',
    type: 'message',
    status,
    role: 'assistant',
    content: text === undefined ? [] : [textPart(text)],
  }
}

function textPart(text: string): Readonly<Record<string, unknown>> {
  return { type: 'output_text', text, annotations: [], logprobs: [] }
}

function chat(call: Call, reply: string): Readonly<Record<string, unknown>> {
  return {
    id: 'chatcmpl-fakevendor',
    object: 'chat.completion',
    created: createdAt,
    model: call.json['model'] ?? model,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: reply, refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: { prompt_tokens: 12, completion_tokens: 7, total_tokens: 19 },
  }
}

function chatStream(call: Call, reply: string): Answer {
  const piece = (delta: unknown, finish: string | null): string =>
    `data: ${JSON.stringify({ id: 'chatcmpl-fakevendor', object: 'chat.completion.chunk', created: createdAt, model: call.json['model'] ?? model, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
  return sse([
    piece({ role: 'assistant', content: '' }, null),
    piece({ content: reply }, null),
    piece({}, 'stop'),
    'data: [DONE]\n\n',
  ])
}

function sse(body: readonly string[]): Answer {
  return { status: 200, headers: { 'content-type': 'text/event-stream; charset=utf-8', ...ids() }, body }
}

function failure(status: number, message: string, code: string | null): Answer {
  return jsonAnswer(status, { error: { message, type: 'invalid_request_error', param: null, code } }, ids())
}

function masked(key: string): string {
  return key.length < 12 ? '*'.repeat(key.length) : `${key.slice(0, 8)}${'*'.repeat(key.length - 12)}${key.slice(-4)}`
}

function ids(): Record<string, string> {
  return { 'x-request-id': 'req_fakevendor', 'openai-version': '2020-10-01' }
}
