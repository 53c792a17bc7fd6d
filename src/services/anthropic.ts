import type { Service } from './service.ts'

/**
 * The API takes either header; version 1 of the SDK sends the key as Bearer, earlier ones as x-api-key.
 * The SDK also reads ANTHROPIC_AUTH_TOKEN. It is not listed: with both set, earlier versions send both
 * headers, which is ambiguous.
 */
export const anthropic: Service = {
  id: 'anthropic',
  name: 'Anthropic',
  hosts: ['api.anthropic.com'],
  fields: { key: 'secret' },
  inject: [{ kind: 'header', name: 'x-api-key' }, { kind: 'bearer' }],
  variables: { fields: { key: ['ANTHROPIC_API_KEY'] }, baseUrl: ['ANTHROPIC_BASE_URL'], basePath: '' },
  operations: [
    { name: 'messages.create', match: 'POST /v1/messages' },
    { name: 'messages.count_tokens', match: 'POST /v1/messages/count_tokens' },
    { name: 'batches.create', match: 'POST /v1/messages/batches' },
    { name: 'batches.list', match: 'GET /v1/messages/batches' },
    { name: 'batches.results', match: 'GET /v1/messages/batches/{batch}/results' },
    { name: 'batches.cancel', match: 'POST /v1/messages/batches/{batch}/cancel', destructive: true },
    { name: 'batches.delete', match: 'DELETE /v1/messages/batches/{batch}', destructive: true },
    { name: 'batches.get', match: 'GET /v1/messages/batches/{batch}' },
    { name: 'models.list', match: 'GET /v1/models' },
    { name: 'models.get', match: 'GET /v1/models/{model}' },
    { name: 'files.list', match: 'GET /v1/files' },
    { name: 'files.create', match: 'POST /v1/files' },
    { name: 'files.content', match: 'GET /v1/files/{file}/content' },
    { name: 'files.delete', match: 'DELETE /v1/files/{file}', destructive: true },
    { name: 'files.get', match: 'GET /v1/files/{file}' },
    { name: 'skills.create', match: 'POST /v1/skills' },
    { name: 'skills.list', match: 'GET /v1/skills' },
    { name: 'skills.delete', match: 'DELETE /v1/skills/{skill}', destructive: true },
    { name: 'skills.get', match: 'GET /v1/skills/{skill}' },
    { name: 'completions.create', match: 'POST /v1/complete' },
    { name: 'organization.read', match: 'GET /v1/organizations/**' },
    { name: 'organization.change', match: '* /v1/organizations/**', destructive: true },
  ],
  detector: 'anthropic',
  sealed: [
    '* /v1/oauth/**',
    'POST /v1/organizations/webhooks',
    'POST /v1/organizations/webhooks/{webhook}/regenerate_signing_secret',
    'GET /v1/environments/{environment}/work/poll',
    'POST /v1/tunnels/{tunnel}/reveal_token',
    'POST /v1/tunnels/{tunnel}/rotate_token',
  ],
  checked: 'sdk',
  source:
    '@anthropic-ai/sdk 1.12.0 (variables, base URL, Bearer, operations, what is sealed); docs.anthropic.com/ja/api/overview for x-api-key; platform.claude.com/docs/en/api/csharp/completions/create for completions.create; batches.results documented only, not confirmed',
}
