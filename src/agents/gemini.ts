import { join } from 'node:path'
import type { Agent, AgentContext } from './agent.ts'
import { objectOf, settingsOf, without } from './json-settings.ts'

const shared = [
  'GEMINI.md',
  'agents',
  'commands',
  'extensions',
  'history',
  'keybindings.json',
  'policies',
  'projects.json',
  'skills',
  'tmp',
  'trustedFolders.json',
  'trusted_hooks.json',
]

/** Where a settings file may say how to log in; the flat names are those of older versions. */
const logins = ['selectedAuthType', 'useExternalAuth', 'enforcedAuthType']

/**
 * A stored choice to log in with Google wins over GEMINI_API_KEY, and GOOGLE_GEMINI_BASE_URL without a
 * choice means a kind of gateway that it then refuses. So the session has a home of its own whose
 * settings choose the key. (A file of system settings would do, but is refused below /tmp.)
 */
export const gemini: Agent = {
  id: 'gemini',
  name: 'Gemini CLI',
  commands: ['gemini'],
  services: ['gemini'],
  storedLogins: [
    'oauth_creds.json',
    'gemini-credentials.json',
    'google_accounts.json',
    'mcp-oauth-tokens.json',
    'a2a-oauth-tokens.json',
    '.env',
  ].map((name) => ({
    under: '',
    movedBy: 'GEMINI_CLI_HOME',
    path: `.gemini/${name}`,
  })),
  keep: ['GEMINI_MODEL', 'GEMINI_CLI_TRUST_WORKSPACE', 'GEMINI_SANDBOX', 'GEMINI_TELEMETRY_ENABLED'],
  open: [
    'A trusted project’s own .gemini/settings.json may choose another login, which is then not there.',
    'Changes to Gemini CLI’s settings and logins made inside the session end with it.',
  ],
  setup: (context) => ({
    variables: {
      GEMINI_CLI_HOME: context.directory,
      GEMINI_FORCE_FILE_STORAGE: 'true',
      // With both set it warns at every call.
      GOOGLE_API_KEY: null,
      GOOGLE_GENAI_USE_VERTEXAI: null,
      GOOGLE_GENAI_USE_GCA: null,
    },
    arguments: [],
    files: { '.gemini/settings.json': settings(context) },
    links: Object.fromEntries(shared.map((name) => [`.gemini/${name}`, join(own(context), name)])),
  }),
  checked: 'wire',
  source: '@google/gemini-cli 0.61.0, headless, Linux; geminicli.com/docs/get-started/authentication',
}

function settings(context: AgentContext): string {
  const found = settingsOf(context.read(join(own(context), 'settings.json')))
  const auth = context.placeholder('gemini', 'key') === undefined ? {} : { selectedType: 'gemini-api-key' }
  return `${JSON.stringify({ ...without(found, logins), security: { ...objectOf(found['security']), auth } }, null, 2)}\n`
}

function own(context: AgentContext): string {
  return join(context.environment['GEMINI_CLI_HOME'] ?? context.userHome, '.gemini')
}
