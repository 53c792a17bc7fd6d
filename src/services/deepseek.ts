import type { Service } from './service.ts'

/** Compatible with two APIs; the second of them (`/anthropic`) takes the key as x-api-key. There is no SDK of its own and no variable for a base URL. */
export const deepseek: Service = {
  id: 'deepseek',
  name: 'DeepSeek',
  hosts: ['api.deepseek.com'],
  fields: { key: 'secret' },
  inject: [{ kind: 'bearer' }, { kind: 'header', name: 'x-api-key' }],
  variables: { fields: { key: ['DEEPSEEK_API_KEY'] } },
  operations: [
    { name: 'chat.completions', match: 'POST /chat/completions' },
    { name: 'chat.completions', match: 'POST /v1/chat/completions' },
    { name: 'completions.create', match: 'POST /beta/completions' },
    { name: 'chat.completions', match: 'POST /beta/chat/completions' },
    { name: 'messages.create', match: 'POST /anthropic/v1/messages' },
    { name: 'messages.create', match: 'POST /anthropic/messages' },
    { name: 'models.list', match: 'GET /models' },
    { name: 'models.list', match: 'GET /v1/models' },
    { name: 'balance.get', match: 'GET /user/balance' },
  ],
  detector: 'deepseek',
  checked: 'documented',
  source:
    'api-docs.deepseek.com (first call), api-docs.deepseek.com/zh-cn/api/create-message.md for both headers and the message paths; github.com/trufflesecurity/trufflehog, pkg/detectors/deepseek/deepseek.go, for /user/balance; @ai-sdk/deepseek 3.0.56 for the variable; /v1 and /beta documented only, not confirmed',
}
