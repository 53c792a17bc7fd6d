import type { Agent } from './agent.ts'

/** Variables win over the keyring and the file of secrets; the keyring is left out, so that no other service's key comes from it. */
export const goose: Agent = {
  id: 'goose',
  name: 'goose',
  commands: ['goose'],
  services: ['anthropic', 'openai', 'gemini', 'openrouter', 'groq'],
  storedLogins: [{ under: '.config', movedBy: 'XDG_CONFIG_HOME', path: 'goose/secrets.yaml' }],
  keep: ['GOOSE_PROVIDER', 'GOOSE_MODEL', 'GOOSE_MODE', 'GOOSE_MAX_TURNS', 'GOOSE_TEMPERATURE'],
  open: [
    'Without containment, secrets.yaml serves for services of which the session has no credential; the gateway refuses those that it knows.',
  ],
  setup: () => ({ variables: { GOOSE_DISABLE_KEYRING: '1' }, arguments: [], files: {}, links: {} }),
  checked: 'documented',
  source: 'block.github.io/goose/docs/guides/environment-variables, /config-files',
}
