import type { Agent } from './agent.ts'

/**
 * The built-in provider does not read OPENAI_API_KEY and first tries a WebSocket seven times. A
 * provider of the session's own reads it, speaks plain SSE and asks for no login, interactively too.
 * An `ephemeral` store of logins begins empty, so that what is stored is neither read nor changed,
 * and the user's configuration stays where it is.
 */
export const codex: Agent = {
  id: 'codex',
  name: 'Codex CLI',
  commands: ['codex'],
  services: ['openai'],
  storedLogins: [{ under: '.codex', movedBy: 'CODEX_HOME', path: 'auth.json' }],
  keep: ['CODEX_HOME', 'CODEX_SQLITE_HOME', 'RUST_LOG'],
  open: [
    'Keys that the user wrote into config.toml for other providers or MCP servers are read as ever; the gateway refuses those of services it knows.',
  ],
  setup: (context) => {
    const arguments_ = ['-c', 'cli_auth_credentials_store="ephemeral"']
    if (context.placeholder('openai', 'key') === undefined)
      return { variables: {}, arguments: arguments_, files: {}, links: {} }
    return {
      variables: {},
      arguments: [
        ...arguments_,
        '-c',
        'model_provider="keyward"',
        '-c',
        'model_providers.keyward={name="OpenAI",base_url="https://api.openai.com/v1",env_key="OPENAI_API_KEY",wire_api="responses"}',
      ],
      files: {},
      links: {},
    }
  },
  checked: 'wire',
  source: '@openai/codex 0.169.0, exec and interactive, Linux; developers.openai.com/codex/config-reference',
}
