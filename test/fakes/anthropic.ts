import { bearerOf, headerOf, jsonAnswer, type Answer, type Call, type VendorRules } from './vendor.ts'

const model = 'claude-sonnet-5'

/**
 * The Messages API. Events in the order of https://docs.claude.com/en/api/messages-streaming, errors as
 * https://docs.claude.com/en/api/errors gives them: a wrong key is 401 `authentication_error`.
 */
export function anthropicRules(reply = 'The fake vendor greets you.'): VendorRules {
  return {
    name: 'anthropic',
    presented: (call) => headerOf(call, 'x-api-key') ?? bearerOf(call),
    refuse: (presented) =>
      failure(401, 'authentication_error', presented === null ? 'x-api-key header is required' : 'invalid x-api-key'),
    notFound: (call) => failure(404, 'not_found_error', `Not found: ${call.path}`),
    answer: (call) => {
      if (call.method === 'POST' && call.path === '/v1/messages')
        return call.json['stream'] === true ? stream(call, reply) : message(call, reply)
      if (call.method === 'POST' && call.path === '/v1/messages/count_tokens')
        return jsonAnswer(200, { input_tokens: 12 }, ids())
      if (call.method === 'GET' && call.path === '/v1/models') {
        const data = [{ type: 'model', id: model, display_name: 'Claude Sonnet 5', created_at: '2026-01-01T00:00:00Z' }]
        return jsonAnswer(200, { data, first_id: model, last_id: model, has_more: false }, ids())
      }
      return null
    },
  }
}

function failure(status: number, type: string, text: string): Answer {
  const headers = ids()
  return jsonAnswer(
    status,
    { type: 'error', error: { type, message: text }, request_id: headers['request-id'] },
    headers,
  )
}

function message(call: Call, reply: string): Answer {
  return jsonAnswer(
    200,
    {
      ...skeleton(call),
      content: [{ type: 'text', text: reply }],
      stop_reason: 'end_turn',
      usage: { input_tokens: 12, output_tokens: 7 },
    },
    ids(),
  )
}

function stream(call: Call, reply: string): Answer {
  const middle = Math.ceil(reply.length / 2)
  const events = [
    { type: 'message_start', message: { ...skeleton(call), usage: { input_tokens: 12, output_tokens: 1 } } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: reply.slice(0, middle) } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: reply.slice(middle) } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 7 } },
    { type: 'message_stop' },
  ]
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', ...ids() },
    body: events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`),
  }
}

function skeleton(call: Call): Readonly<Record<string, unknown>> {
  return {
    id: 'msg_01FakeVendor',
    type: 'message',
    role: 'assistant',
    model: call.json['model'] ?? model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
  }
}

function ids(): Record<string, string> {
  return { 'request-id': 'req_011FakeVendor' }
}
