import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Seen } from '../../fakes/vendor.ts'
import { leaksIn } from './leaks.ts'
import { expectRecorded, expectSwap, mark } from './expect-swap.ts'
import { clients, openStage, reply, type ClientRun, type Stage, type VendorName } from './stage.ts'

/** Stored logins and settings with a key, which the agents must not use: planted before each run. */
const canary = `CANARY${randomBytes(12).toString('hex')}`

interface Program {
  readonly command: string
  readonly vendor: VendorName
  /** The program itself, without a wrapper that npm's install scripts would make. */
  readonly program: () => readonly string[]
  readonly args: readonly string[]
  /** Path of the request that asks the model. */
  readonly asks: RegExp
  readonly plant: (write: (path: string, content: unknown) => void) => void
}

const far = 4_102_444_800_000

const programs: readonly Program[] = [
  {
    command: 'claude',
    vendor: 'anthropic',
    program: () => [
      join(clients, 'node_modules/@anthropic-ai', platformPackage('@anthropic-ai', 'claude-code-'), 'claude'),
    ],
    args: ['-p', 'Say hello.'],
    asks: /^\/v1\/messages\?/,
    plant: (write) => {
      const login = {
        accessToken: `sk-ant-oat01-${canary}`,
        refreshToken: `sk-ant-ort01-${canary}`,
        expiresAt: far,
        scopes: ['user:inference'],
        subscriptionType: 'max',
      }
      write('.claude/.credentials.json', { claudeAiOauth: login })
      write('.claude.json', {
        primaryApiKey: `sk-ant-api03-${canary}`,
        oauthAccount: { accountUuid: canary, emailAddress: 'jane@example.test' },
        hasCompletedOnboarding: true,
      })
      write('.claude/settings.json', {
        apiKeyHelper: `echo ${canary}`,
        env: { ANTHROPIC_API_KEY: `sk-ant-api03-${canary}` },
      })
    },
  },
  {
    command: 'codex',
    vendor: 'openai',
    program: () => {
      const vendor = join(clients, 'node_modules/@openai', platformPackage('@openai', 'codex-'), 'vendor')
      return [join(vendor, readdirSync(vendor)[0] ?? '', 'bin/codex')]
    },
    args: ['exec', '--skip-git-repo-check', 'Say hello.'],
    asks: /^\/v1\/responses$/,
    plant: (write) => {
      const claims = {
        email: 'jane@example.test',
        exp: far / 1000,
        'https://api.openai.com/auth': { chatgpt_account_id: canary, chatgpt_plan_type: 'pro' },
      }
      const token = ['e30', Buffer.from(JSON.stringify(claims)).toString('base64url'), canary].join('.')
      write('.codex/auth.json', {
        OPENAI_API_KEY: null,
        tokens: { id_token: token, access_token: token, refresh_token: canary, account_id: canary },
        last_refresh: new Date().toISOString(),
      })
    },
  },
  {
    command: 'opencode',
    vendor: 'openai',
    program: () => [join(clients, 'node_modules', platformPackage('', 'opencode-'), 'bin/opencode')],
    args: ['run', '--model', 'openai/gpt-5.6-terra', 'Say hello.'],
    asks: /^\/v1\/responses$/,
    plant: (write) =>
      write('.local/share/opencode/auth.json', {
        openai: { type: 'api', key: `sk-${canary}` },
        anthropic: { type: 'api', key: canary },
      }),
  },
  {
    command: 'opencode',
    vendor: 'anthropic',
    program: () => [join(clients, 'node_modules', platformPackage('', 'opencode-'), 'bin/opencode')],
    args: ['run', '--model', 'anthropic/claude-sonnet-4-6', 'Say hello.'],
    asks: /^\/v1\/messages$/,
    plant: (write) => write('.local/share/opencode/auth.json', { anthropic: { type: 'api', key: canary } }),
  },
  {
    command: 'gemini',
    vendor: 'gemini',
    program: () => [process.execPath, join(clients, 'node_modules/@google/gemini-cli/bundle/gemini.js')],
    args: ['--skip-trust', '-p', 'Say hello.'],
    asks: /:streamGenerateContent\?alt=sse$/,
    plant: (write) => {
      write('.gemini/settings.json', { security: { auth: { selectedType: 'oauth-personal' } } })
      write('.gemini/oauth_creds.json', {
        access_token: `ya29.${canary}`,
        refresh_token: `1//${canary}`,
        token_type: 'Bearer',
        expiry_date: far,
      })
      write('.gemini/.env', `GEMINI_API_KEY=${canary}\n`)
    },
  },
]

let stage: Stage
/** Why this machine cannot contain so, by the boundary. */
const missing: Record<string, string> = {}
beforeAll(async () => {
  if (!existsSync(join(clients, 'node_modules')))
    throw new Error('Run `npm ci --ignore-scripts` in test/clients first.')
  stage = await openStage()
  // The caller's own environment holds logins too; none of them may pass.
  Object.assign(stage.callerVariables, {
    CLAUDE_CODE_OAUTH_TOKEN: canary,
    ANTHROPIC_AUTH_TOKEN: canary,
    CODEX_API_KEY: canary,
    OPENCODE_AUTH_CONTENT: JSON.stringify({ openai: { type: 'api', key: canary } }),
  })
  for (const contain of ['files', 'full']) {
    const tried = await stage.keyward(['run', '--agent', 'client', '--contain', contain, '--', 'true'])
    if (tried.code !== 0) missing[contain] = tried.stderr
  }
})
afterAll(() => stage?.close())

const boundaries = [
  ['files', 'direct'],
  ['files', 'recorded'],
  ['full', 'direct'],
  ['none', 'recorded'],
] as const

describe.each(boundaries)('contained by %s, %s', (contain, way) => {
  it.for(programs)(
    '$command asks $vendor with no question to a person, no key met and no stored login used',
    { timeout: 120_000 },
    async (program, { skip }) => {
      const reason = missing[contain]
      if (reason !== undefined) skip(`This machine cannot contain so: ${reason}`)
      program.plant((path, content) =>
        stage.write(join(stage.userHome, path), typeof content === 'string' ? content : JSON.stringify(content)),
      )
      const before = await mark(stage, program.vendor)
      const run = await stage.client({
        command: program.command,
        program: program.program(),
        args: program.args,
        way,
        flags: ['--contain', contain],
      })
      await expectSwap(stage, program.vendor, run, before)
      expect(run.stdout).toContain(reply)
      const seen = stage.vendors[program.vendor].seen.slice(before.seen)
      const asked = seen.filter((each) => program.asks.test(each.target))
      expect(asked.length, 'requests to the model').toBeGreaterThan(0)
      expect(asked.every((each) => each.status === 200)).toBe(true)
      expectNoLogin(run, seen)
      if (contain !== 'none') expect(leaksIn(run.readable, { canary }), 'files').toEqual([])
      if (way === 'recorded') expectRecorded(run)
    },
  )
})

/** The planted logins went nowhere: not to the vendor, not to any other host, not into the variables. */
function expectNoLogin(run: ClientRun, seen: readonly Seen[]): void {
  const heard = seen.flatMap((each) => [
    Buffer.from(JSON.stringify(each.rawHeaders)),
    Buffer.from(each.target),
    each.body,
  ])
  expect(leaksIn(Buffer.concat(heard), { canary }), 'what the vendor heard').toEqual([])
  expect(leaksIn(Buffer.concat(run.sent), { canary }), 'what the program sent').toEqual([])
  expect(leaksIn(Buffer.from(JSON.stringify(run.variables)), { canary }), 'variables').toEqual([])
}

/** The package that npm chose for this platform; the plain one where there are several. */
function platformPackage(scope: string, prefix: string): string {
  const wanted = `${prefix}${process.platform}-${process.arch}`
  const found = readdirSync(join(clients, 'node_modules', scope))
    .filter((name) => name.startsWith(wanted))
    .toSorted()[0]
  if (found === undefined) throw new Error(`npm installed no ${wanted}`)
  return found
}
