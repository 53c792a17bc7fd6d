import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Agent, AgentContext } from './agent.ts'
import { expectConforms } from './conformance.ts'
import { agentFor, agents } from './index.ts'
import { prepareAgent } from './prepare.ts'

const secret = `live-${randomBytes(24).toString('hex')}`
const placeholder = `sk-kwp-${randomBytes(24).toString('hex')}`

const claudeState = {
  theme: 'dark',
  primaryApiKey: secret,
  oauthAccount: { accountUuid: secret },
  customApiKeyResponses: { approved: [secret.slice(-20)], rejected: [] },
  projects: { '/work': { hasTrustDialogAccepted: true } },
}
const settings = {
  model: 'opus',
  apiKeyHelper: `echo ${secret}`,
  awsCredentialExport: `echo ${secret}`,
  env: { ANTHROPIC_API_KEY: secret, ANTHROPIC_BASE_URL: `https://${secret}`, HTTPS_PROXY: secret, EDITOR: 'vi' },
  security: { auth: { selectedType: 'oauth-personal' }, folderTrust: { enabled: true } },
  selectedAuthType: 'oauth-personal',
}

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'keyward-agents-test-'))
  for (const directory of ['.claude/projects', '.gemini/commands', '.codex'])
    mkdirSync(join(home, directory), { recursive: true })
  writeFileSync(join(home, '.claude.json'), JSON.stringify(claudeState))
  writeFileSync(join(home, '.claude/settings.json'), JSON.stringify(settings))
  writeFileSync(join(home, '.claude/.credentials.json'), JSON.stringify({ claudeAiOauth: { accessToken: secret } }))
  writeFileSync(
    join(home, '.gemini/settings.json'),
    JSON.stringify({ ...settings, env: {}, apiKeyHelper: '', awsCredentialExport: '' }),
  )
  writeFileSync(join(home, '.gemini/oauth_creds.json'), JSON.stringify({ access_token: secret }))
  writeFileSync(join(home, '.codex/auth.json'), JSON.stringify({ OPENAI_API_KEY: secret }))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

function prepare(
  command: string,
  environment: AgentContext['environment'] = {},
  held: string | undefined = placeholder,
) {
  return prepareAgent({ command, environment, userHome: home, placeholder: () => held, root: home })
}

describe.each(agents.map((agent): [string, Agent] => [agent.id, agent]))('%s', (_id, agent) => {
  it('keeps what every row must keep', () => {
    const read = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined)
    expectConforms(
      agent,
      { placeholder: () => placeholder, directory: join(home, 'run'), userHome: home, environment: {}, read },
      secret,
    )
    expectConforms(
      agent,
      { placeholder: () => undefined, directory: join(home, 'run'), userHome: home, environment: {}, read },
      secret,
    )
  })
})

it('lists rows in order, with no command claimed twice', () => {
  const ids = agents.map((agent) => agent.id)
  expect(ids).toEqual([...ids].toSorted())
  const commands = agents.flatMap((agent): readonly string[] => agent.commands)
  expect(new Set(commands).size).toBe(commands.length)
})

it('finds the row by the base name of the command alone', () => {
  expect(agentFor('/opt/x/claude').id).toBe('claude')
  expect(agentFor('gemini.js').id).toBe('gemini')
  expect(agentFor('codex.exe').id).toBe('codex')
  expect(agentFor('not-claude').id).toBe('generic')
  expect(agentFor('claude/x').id).toBe('generic')
  expect(agentFor('').id).toBe('generic')
})

it('gives claude a configuration without the account, keys and key programs, and approves the placeholder', () => {
  const prepared = prepare('claude')
  const written =
    readFileSync(join(prepared.directory, '.claude.json'), 'utf8') +
    readFileSync(join(prepared.directory, 'settings.json'), 'utf8')
  expect(written).not.toContain(secret)
  expect(written).not.toContain(secret.slice(-20))
  expect(JSON.parse(readFileSync(join(prepared.directory, 'settings.json'), 'utf8'))).toMatchObject({
    model: 'opus',
    env: { EDITOR: 'vi' },
  })
  expect(JSON.parse(readFileSync(join(prepared.directory, '.claude.json'), 'utf8'))).toMatchObject({
    theme: 'dark',
    projects: { '/work': { hasTrustDialogAccepted: true } },
    customApiKeyResponses: { approved: [placeholder.slice(-20)] },
  })
  expect(prepared.variables['CLAUDE_CONFIG_DIR']).toBe(prepared.directory)
  expect(readlinkSync(join(prepared.directory, 'projects'))).toBe(join(home, '.claude/projects'))
  expect(existsSync(join(prepared.directory, 'skills'))).toBe(false)
  // An agent may start another program: the logins of all are hidden from each.
  for (const path of ['.claude/.credentials.json', '.codex/auth.json', '.gemini/oauth_creds.json']) {
    expect(prepared.hiddenFiles).toContain(join(home, path))
  }
})

it('gives gemini a home whose settings choose the key and keep the rest', () => {
  const prepared = prepare('gemini')
  const written = JSON.parse(readFileSync(join(prepared.directory, '.gemini/settings.json'), 'utf8'))
  expect(written.security).toEqual({ auth: { selectedType: 'gemini-api-key' }, folderTrust: { enabled: true } })
  expect(written.model).toBe('opus')
  expect(written.selectedAuthType).toBeUndefined()
  expect(existsSync(join(prepared.directory, '.gemini/oauth_creds.json'))).toBe(false)
})

it('reads and hides what the caller’s variables moved elsewhere, and the usual place too', () => {
  const moved = join(home, 'moved')
  mkdirSync(moved)
  writeFileSync(join(moved, 'settings.json'), JSON.stringify({ model: 'haiku' }))
  const prepared = prepare('claude', { CLAUDE_CONFIG_DIR: moved })
  expect(JSON.parse(readFileSync(join(prepared.directory, 'settings.json'), 'utf8'))).toMatchObject({ model: 'haiku' })
  expect(prepared.hiddenFiles).toEqual(
    expect.arrayContaining([
      join(moved, '.credentials.json'),
      join(moved, '.claude.json'),
      join(home, '.claude/.credentials.json'),
    ]),
  )
})

it('survives settings that are not JSON, and no settings at all', () => {
  writeFileSync(join(home, '.claude/settings.json'), '{ // comment')
  writeFileSync(join(home, '.claude.json'), '[]')
  rmSync(join(home, '.gemini'), { recursive: true })
  expect(() => prepare('claude')).not.toThrow()
  expect(() => prepare('gemini')).not.toThrow()
})

it('writes for its owner alone, and removes what it wrote but nothing of the user’s', () => {
  const prepared = prepare('claude')
  expect(statSync(prepared.directory).mode & 0o777).toBe(0o700)
  expect(statSync(join(prepared.directory, '.claude.json')).mode & 0o777).toBe(0o600)
  prepared.remove()
  prepared.remove()
  expect(existsSync(prepared.directory)).toBe(false)
  expect(existsSync(join(home, '.claude/projects'))).toBe(true)
})

it('does not lead codex to OpenAI when the session has no such credential, and still ignores the stored login', () => {
  const { arguments: without } = prepareAgent({
    command: 'codex',
    environment: {},
    userHome: home,
    placeholder: () => undefined,
    root: home,
  })
  expect(without).toEqual(['-c', 'cli_auth_credentials_store="ephemeral"'])
  expect(prepare('codex').arguments).toContain('model_provider="keyward"')
})

it('stands in the guide, row by row, with what stays open', () => {
  const guide = readFileSync(new URL('../../docs/guide/agents.md', import.meta.url), 'utf8')
  for (const agent of agents) {
    const row = guide.split('\n').find((line) => line.startsWith(`| ${agent.id} |`)) ?? ''
    expect(row.endsWith(`| ${agent.checked} |`), agent.id).toBe(true)
    for (const words of [...agent.commands, ...agent.services]) expect(row).toContain(words)
    for (const { path } of agent.storedLogins) expect(row).toContain(path.split('/').at(-1))
    for (const sentence of agent.open) expect(guide.replaceAll(/[`]/g, '')).toContain(sentence.replaceAll('’', "'"))
  }
})
