import type { Agent } from './agent.ts'

/**
 * A stored login wins over the variables, unless OPENCODE_AUTH_CONTENT gives the whole content of the
 * store: an empty one here. Its Anthropic client takes ANTHROPIC_BASE_URL to end in `/v1`, the vendor's
 * own SDK does not; without it opencode goes through the proxy, which serves both.
 */
export const opencode: Agent = {
  id: 'opencode',
  name: 'opencode',
  commands: ['opencode'],
  services: ['anthropic', 'openai', 'gemini', 'openrouter', 'groq', 'mistral', 'deepseek'],
  storedLogins: [
    { under: '.local/share', movedBy: 'XDG_DATA_HOME', path: 'opencode/auth.json' },
    { under: '.local/share', movedBy: 'XDG_DATA_HOME', path: 'opencode/mcp-auth.json' },
  ],
  keep: [
    'OPENCODE_CONFIG',
    'OPENCODE_CONFIG_DIR',
    'OPENCODE_DISABLE_AUTOUPDATE',
    'OPENCODE_DISABLE_MODELS_FETCH',
    'OPENCODE_DISABLE_SHARE',
    'OPENCODE_PERMISSION',
  ],
  open: ['Keys written into opencode.json win over the variables; the gateway refuses those of services it knows.'],
  setup: () => ({
    variables: { OPENCODE_AUTH_CONTENT: '{}', ANTHROPIC_BASE_URL: null },
    arguments: [],
    files: {},
    links: {},
  }),
  checked: 'wire',
  source: 'opencode-ai 1.18.33, run, Linux; opencode.ai/docs/providers',
}
