import type { Service } from './service.ts'

/** The SDK has no variable for a base URL. A connector is shown together with the token that it uses elsewhere. */
export const mistral: Service = {
  id: 'mistral',
  name: 'Mistral',
  hosts: ['api.mistral.ai', 'api.eu.mistral.ai', 'api.us.mistral.ai'],
  fields: { key: 'secret' },
  inject: [{ kind: 'bearer' }],
  variables: { fields: { key: ['MISTRAL_API_KEY'] } },
  operations: [
    { name: 'chat.completions', match: 'POST /v1/chat/completions' },
    { name: 'fim.completions', match: 'POST /v1/fim/completions' },
    { name: 'agents.completions', match: 'POST /v1/agents/completions' },
    { name: 'conversations.create', match: 'POST /v1/conversations' },
    { name: 'conversations.append', match: 'POST /v1/conversations/{conversation}' },
    { name: 'embeddings.create', match: 'POST /v1/embeddings' },
    { name: 'moderations.create', match: 'POST /v1/moderations' },
    { name: 'ocr.process', match: 'POST /v1/ocr' },
    { name: 'audio.transcribe', match: 'POST /v1/audio/transcriptions' },
    { name: 'models.list', match: 'GET /v1/models' },
    { name: 'models.get', match: 'GET /v1/models/{model}' },
    { name: 'models.delete', match: 'DELETE /v1/models/{model}', destructive: true },
    { name: 'files.list', match: 'GET /v1/files' },
    { name: 'files.create', match: 'POST /v1/files' },
    { name: 'files.delete', match: 'DELETE /v1/files/{file}', destructive: true },
    { name: 'files.content', match: 'GET /v1/files/{file}/content' },
    { name: 'connectors.call', match: 'POST /v1/connectors/{connector}/tools/{tool}/call', destructive: true },
    { name: 'jobs.create', match: 'POST /v1/fine_tuning/jobs' },
    { name: 'jobs.list', match: 'GET /v1/fine_tuning/jobs' },
    { name: 'batches.create', match: 'POST /v1/batch/jobs' },
    { name: 'batches.cancel', match: 'POST /v1/batch/jobs/{job}/cancel', destructive: true },
  ],
  detector: 'mistral',
  sealed: [
    'GET /v1/connectors',
    'POST /v1/connectors',
    'GET /v1/connectors/{connector}',
    'PATCH /v1/connectors/{connector}',
  ],
  checked: 'sdk',
  source:
    '@mistralai/mistralai 2.7.0 (variable, hosts, Bearer); github.com/mistralai/platform-docs-public, openapi.yaml for operations and openapi-public-doc.yaml for what is sealed',
}
