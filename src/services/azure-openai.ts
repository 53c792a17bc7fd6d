import type { Service } from './service.ts'

/**
 * The host is made of the public field `resource`. AZURE_API_KEY and AZURE_RESOURCE_NAME are read by
 * @ai-sdk/azure. Bearer is what the plain client sends to `/openai/v1`. The plain client's base-URL
 * variable is read by AzureOpenAI too, and before its own.
 */
export const azureOpenai: Service = {
  id: 'azure-openai',
  name: 'Azure OpenAI',
  hosts: ['{resource}.openai.azure.com'],
  fields: { key: 'secret', resource: 'public' },
  inject: [{ kind: 'header', name: 'api-key' }, { kind: 'bearer' }],
  variables: {
    fields: { key: ['AZURE_OPENAI_API_KEY', 'AZURE_API_KEY'], resource: ['AZURE_RESOURCE_NAME'] },
    baseUrl: ['AZURE_OPENAI_ENDPOINT'],
    basePath: '',
    shadowedBy: ['OPENAI_BASE_URL'],
  },
  operations: [
    { name: 'chat.completions', match: 'POST /openai/deployments/{deployment}/chat/completions' },
    { name: 'completions.create', match: 'POST /openai/deployments/{deployment}/completions' },
    { name: 'embeddings.create', match: 'POST /openai/deployments/{deployment}/embeddings' },
    { name: 'images.generate', match: 'POST /openai/deployments/{deployment}/images/generations' },
    { name: 'images.edit', match: 'POST /openai/deployments/{deployment}/images/edits' },
    { name: 'audio.transcribe', match: 'POST /openai/deployments/{deployment}/audio/transcriptions' },
    { name: 'audio.translate', match: 'POST /openai/deployments/{deployment}/audio/translations' },
    { name: 'audio.speak', match: 'POST /openai/deployments/{deployment}/audio/speech' },
    { name: 'chat.completions', match: 'POST /openai/v1/chat/completions' },
    { name: 'embeddings.create', match: 'POST /openai/v1/embeddings' },
    { name: 'responses.create', match: 'POST /openai/v1/responses' },
    { name: 'responses.create', match: 'POST /openai/responses' },
    { name: 'responses.get', match: 'GET /openai/v1/responses/{response}' },
    { name: 'responses.delete', match: 'DELETE /openai/v1/responses/{response}', destructive: true },
    { name: 'models.list', match: 'GET /openai/v1/models' },
    { name: 'models.list', match: 'GET /openai/models' },
    { name: 'models.get', match: 'GET /openai/v1/models/{model}' },
    { name: 'models.get', match: 'GET /openai/models/{model}' },
    { name: 'files.list', match: 'GET /openai/files' },
    { name: 'files.create', match: 'POST /openai/files' },
    { name: 'files.delete', match: 'DELETE /openai/files/{file}', destructive: true },
    { name: 'files.delete', match: 'DELETE /openai/v1/files/{file}', destructive: true },
  ],
  detector: 'azure-openai',
  sealed: ['POST /openai/v1/realtime/client_secrets', 'POST /openai/realtimeapi/sessions'],
  checked: 'sdk',
  source:
    'openai 7.57.0 (AzureOpenAI: variables, base URL, header, deployment paths; OpenAI: Bearer under /openai/v1); @ai-sdk/azure 4.0.85 for its variables; github.com/Azure/azure-rest-api-specs, specification/ai/data-plane/OpenAI.v1/azure-v1-preview-generated.yaml (its first paths); what is sealed (seen in public code alone) documented only, not confirmed',
}
