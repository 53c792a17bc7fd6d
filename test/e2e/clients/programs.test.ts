import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { leaksIn } from './leaks.ts'
import { expectNoLeak, expectRecorded, mark } from './expect-swap.ts'
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
beforeAll(async () => {
  if (!existsSync(join(clients, 'node_modules')))
    throw new Error('Run `npm ci --ignore-scripts` in test/clients first.')
  stage = await openStage()
  Object.assign(stage.callerVariables, {
    CLAUDE_CODE_OAUTH_TOKEN: canary,
    ANTHROPIC_AUTH_TOKEN: canary,
    CODEX_API_KEY: canary,
    OPENCODE_AUTH_CONTENT: JSON.stringify({ openai: { type: 'api', key: canary } }),
  })
})
afterAll(() => stage?.close())

const boundaries = [
  ['files', 'direct'],
  ['files', 'recorded'],
  ['none', 'direct'],
  ['none', 'recorded'],
] as const

describe.each(boundaries)('contained by %s, %s', (contain, way) => {
  describe.each(programs)('$command asks $vendor', (program) => {
    let run: ClientRun
    let seen: Stage['vendors'][VendorName]['seen']
    let entries: readonly string[]
    beforeEach(() => {
      program.plant((path, content) =>
        stage.write(join(stage.userHome, path), typeof content === 'string' ? content : JSON.stringify(content)),
      )
    })

    it('works with no question asked, no key met and no stored login used', async () => {
      const before = await mark(stage, program.vendor)
      run = await stage.client({
        command: program.command,
        program: program.program(),
        args: program.args,
        way,
        flags: ['--contain', contain],
      })
      seen = stage.vendors[program.vendor].seen.slice(before.seen)
      entries = (await stage.journal()).slice(before.entries).map((entry) => JSON.stringify(entry))
      expect(run.code, run.stdout + run.stderr).toBe(0)
      expect(run.stdout).toContain(reply)
      const asked = seen.filter((each) => program.asks.test(each.target))
      expect(asked.length, 'requests to the model').toBeGreaterThan(0)
      expect(seen.filter((each) => each.presented !== stage.keys[program.vendor] && each.presented !== null)).toEqual(
        [],
      )
      expect(asked.every((each) => each.accepted && each.status === 200)).toBe(true)
      const intents = entries.filter(
        (entry) => entry.includes('"kind":"intent"') && entry.includes(`"service":"${program.vendor}"`),
      )
      expect(intents.length).toBe(seen.length)
      expectNoLeak(stage, run)
      expect(
        leaksIn(Buffer.from(JSON.stringify(seen.map((each) => [each.rawHeaders, each.body.toString('latin1')]))), {
          canary,
        }),
      ).toEqual([])
      expect(leaksIn(Buffer.concat(run.sent), { canary }), 'what the program sent').toEqual([])
      expect(leaksIn(Buffer.from(JSON.stringify(run.variables)), { canary }), 'variables').toEqual([])
      if (contain === 'files') expect(leaksIn(run.readable, { canary }), 'files').toEqual([])
      if (way === 'recorded') expectRecorded(run)
    })
  })
})

/** The package that npm chose for this platform; the plain one where there are several. */
function platformPackage(scope: string, prefix: string): string {
  const wanted = `${prefix}${process.platform}-${process.arch}`
  const found = readdirSync(join(clients, 'node_modules', scope))
    .filter((name) => name.startsWith(wanted))
    .toSorted()[0]
  if (found === undefined) throw new Error(`npm installed no ${wanted}`)
  return found
}
