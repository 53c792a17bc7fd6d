import { join } from 'node:path'
import type { Agent, AgentContext } from './agent.ts'
import { harmlessVariables, settingsOf, without } from './json-settings.ts'

/** How much of the end of a key Claude Code remembers as approved. */
const approvedCharacters = 20

/** What the user made that is no login: shared with the session, so that work and transcripts stay. */
const shared = [
  'CLAUDE.md',
  'agents',
  'commands',
  'file-history',
  'history.jsonl',
  'hooks',
  'keybindings.json',
  'output-styles',
  'plans',
  'plugins',
  'projects',
  'rules',
  'skills',
  'todos',
]

/** Members of `.claude.json` that are carried over; the account and the primary key are not among them. */
const carried = [
  'diffTool',
  'editorMode',
  'lastOnboardingVersion',
  'mcpServers',
  'numStartups',
  'projects',
  'theme',
  'tipsHistory',
  'verbose',
]

/** Settings that fetch or demand another credential. */
const foreignLogins = [
  'apiKeyHelper',
  'awsAuthRefresh',
  'awsCredentialExport',
  'forceLoginMethod',
  'forceLoginOrgUUID',
  'gcpAuthRefresh',
  'otelHeadersHelper',
  'proxyAuthHelper',
]

/**
 * Claude Code takes ANTHROPIC_API_KEY for messages, but a stored login still goes out beside it, a
 * settings file may replace it, and interactively it asks whether to use an unknown key. A
 * configuration directory of the session's own has none of the three.
 */
export const claude: Agent = {
  id: 'claude',
  name: 'Claude Code',
  commands: ['claude'],
  services: ['anthropic'],
  storedLogins: [
    { under: '.claude', movedBy: 'CLAUDE_CONFIG_DIR', path: '.credentials.json' },
    { under: '.claude', movedBy: 'CLAUDE_CONFIG_DIR', path: 'settings.json' },
    { under: '', movedBy: 'CLAUDE_CONFIG_DIR', path: '.claude.json' },
  ],
  keep: [
    'ANTHROPIC_MODEL',
    'ANTHROPIC_SMALL_FAST_MODEL',
    'ANTHROPIC_DEFAULT_HAIKU_MODEL',
    'ANTHROPIC_DEFAULT_OPUS_MODEL',
    'ANTHROPIC_DEFAULT_SONNET_MODEL',
    'API_TIMEOUT_MS',
    'BASH_DEFAULT_TIMEOUT_MS',
    'BASH_MAX_TIMEOUT_MS',
    'CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC',
    'CLAUDE_CODE_EFFORT_LEVEL',
    'CLAUDE_CODE_MAX_OUTPUT_TOKENS',
    'CLAUDE_CODE_SUBAGENT_MODEL',
    'DISABLE_AUTOUPDATER',
    'DISABLE_ERROR_REPORTING',
    'DISABLE_TELEMETRY',
    'IS_SANDBOX',
    'MAX_THINKING_TOKENS',
    'MCP_TIMEOUT',
    'MCP_TOOL_TIMEOUT',
  ],
  open: [
    'A project’s own .claude/settings.json may name another key or another base URL: the gateway refuses the key, and the base URL receives a placeholder only.',
    'Changes to Claude Code’s settings and logins made inside the session end with it.',
  ],
  setup: (context) => {
    const key = context.placeholder('anthropic', 'key')
    if (key === undefined)
      return {
        variables: { CLAUDE_CONFIG_DIR: context.directory },
        arguments: [],
        files: files(context, []),
        links: links(context),
      }
    return {
      variables: { CLAUDE_CONFIG_DIR: context.directory, ANTHROPIC_AUTH_TOKEN: null },
      arguments: [],
      files: files(context, [key.slice(-approvedCharacters)]),
      links: links(context),
    }
  },
  checked: 'wire',
  source:
    '@anthropic-ai/claude-code 2.1.330, headless and interactive, Linux; code.claude.com/docs/en/env-vars, /settings',
}

function files(context: AgentContext, approved: readonly string[]): Record<string, string> {
  const moved = context.environment['CLAUDE_CONFIG_DIR']
  const state = settingsOf(context.read(join(moved ?? context.userHome, '.claude.json')))
  const settings = settingsOf(context.read(join(configuration(context), 'settings.json')))
  return {
    '.claude.json': text({
      ...Object.fromEntries(Object.entries(state).filter(([name]) => carried.includes(name))),
      hasCompletedOnboarding: true,
      customApiKeyResponses: { approved, rejected: [] },
    }),
    'settings.json': text({ ...without(settings, foreignLogins), env: harmlessVariables(settings['env']) }),
  }
}

function links(context: AgentContext): Record<string, string> {
  return Object.fromEntries(shared.map((name) => [name, join(configuration(context), name)]))
}

function configuration(context: AgentContext): string {
  return context.environment['CLAUDE_CONFIG_DIR'] ?? join(context.userHome, '.claude')
}

function text(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
