import type { Service } from './service.ts'

/** The SDK writes the whole path itself, so a base URL ends with the origin. */
export const groq: Service = {
  id: 'groq',
  name: 'Groq',
  hosts: ['api.groq.com'],
  fields: { key: 'secret' },
  inject: [{ kind: 'bearer' }],
  variables: { fields: { key: ['GROQ_API_KEY'] }, baseUrl: ['GROQ_BASE_URL'], basePath: '' },
  operations: [
    { name: 'chat.completions', match: 'POST /openai/v1/chat/completions' },
    { name: 'responses.create', match: 'POST /openai/v1/responses' },
    { name: 'embeddings.create', match: 'POST /openai/v1/embeddings' },
    { name: 'audio.transcribe', match: 'POST /openai/v1/audio/transcriptions' },
    { name: 'audio.translate', match: 'POST /openai/v1/audio/translations' },
    { name: 'audio.speak', match: 'POST /openai/v1/audio/speech' },
    { name: 'models.list', match: 'GET /openai/v1/models' },
    { name: 'models.get', match: 'GET /openai/v1/models/{model}' },
    { name: 'models.delete', match: 'DELETE /openai/v1/models/{model}', destructive: true },
    { name: 'batches.create', match: 'POST /openai/v1/batches' },
    { name: 'batches.list', match: 'GET /openai/v1/batches' },
    { name: 'batches.cancel', match: 'POST /openai/v1/batches/{batch}/cancel', destructive: true },
    { name: 'files.list', match: 'GET /openai/v1/files' },
    { name: 'files.create', match: 'POST /openai/v1/files' },
    { name: 'files.delete', match: 'DELETE /openai/v1/files/{file}', destructive: true },
    { name: 'files.content', match: 'GET /openai/v1/files/{file}/content' },
  ],
  detector: 'groq',
  checked: 'sdk',
  source:
    'groq-sdk 1.6.0 (variables, base URL, Bearer, operations); console.groq.com/docs/responses-api for responses.create; no call that hands out a credential was found in either',
}
