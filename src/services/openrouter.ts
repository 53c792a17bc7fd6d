import type { Service } from './service.ts'

/** Its Anthropic-compatible path takes the key as x-api-key too. */
export const openrouter: Service = {
  id: 'openrouter',
  name: 'OpenRouter',
  hosts: ['openrouter.ai', 'eu.openrouter.ai', 'us.openrouter.ai'],
  fields: { key: 'secret' },
  inject: [{ kind: 'bearer' }, { kind: 'header', name: 'x-api-key' }],
  variables: { fields: { key: ['OPENROUTER_API_KEY'] }, baseUrl: ['OPENROUTER_BASE_URL'], basePath: '/api/v1' },
  operations: [
    { name: 'chat.completions', match: 'POST /api/v1/chat/completions' },
    { name: 'completions.create', match: 'POST /api/v1/completions' },
    { name: 'responses.create', match: 'POST /api/v1/responses' },
    { name: 'messages.create', match: 'POST /api/v1/messages' },
    { name: 'embeddings.create', match: 'POST /api/v1/embeddings' },
    { name: 'models.list', match: 'GET /api/v1/models' },
    { name: 'models.listForUser', match: 'GET /api/v1/models/user' },
    { name: 'models.endpoints', match: 'GET /api/v1/models/{author}/{model}/endpoints' },
    { name: 'providers.list', match: 'GET /api/v1/providers' },
    { name: 'generations.get', match: 'GET /api/v1/generation' },
    { name: 'credits.get', match: 'GET /api/v1/credits' },
    { name: 'activity.get', match: 'GET /api/v1/activity' },
    { name: 'keys.current', match: 'GET /api/v1/key' },
    { name: 'keys.list', match: 'GET /api/v1/keys' },
    { name: 'keys.get', match: 'GET /api/v1/keys/{key}' },
    { name: 'keys.update', match: 'PATCH /api/v1/keys/{key}', destructive: true },
    { name: 'keys.delete', match: 'DELETE /api/v1/keys/{key}', destructive: true },
  ],
  detector: 'openrouter',
  sealed: [
    'POST /api/v1/keys',
    'POST /api/v1/auth/keys/**',
    'GET /api/v1/observability/destinations/**',
    'POST /api/v1/observability/destinations',
    'PATCH /api/v1/observability/destinations/{destination}',
  ],
  checked: 'sdk',
  source:
    '@openrouter/sdk 1.3.19 (variables, base URL, Bearer); github.com/OpenRouterTeam/typescript-sdk, .speakeasy/out.openapi.yaml, for operations and what is sealed; openrouter.ai/docs/guides/features/in-region-routing.md for the hosts; completions.create and x-api-key documented only, not confirmed',
}
