import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { anthropicRules } from '../../fakes/anthropic.ts'
import { createAuthority } from '../../fakes/authority.ts'
import { geminiRules } from '../../fakes/gemini.ts'
import { openaiRules } from '../../fakes/openai.ts'
import { stripeRules } from '../../fakes/stripe.ts'
import { startVendor, type FakeVendor } from '../../fakes/vendor.ts'

export const reply = 'The fake vendor greets you.'
export const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')
export const clients = join(root, 'test/clients')

const outcomeMilliseconds = 90_000
/** An ordinary user, where the tests themselves run as root. */
export const ordinary: { readonly uid?: number; readonly gid?: number } =
  process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** What a client's run left behind. */
export interface ClientRun extends Outcome {
  /** The variables that it was given. */
  readonly variables: Readonly<Record<string, string>>
  /** All that could be read from where it ran, afterwards. */
  readonly readable: Buffer
  /** What it received and sent, one for each connection, TLS taken off; empty in a direct run. */
  readonly received: readonly Buffer[]
  readonly sent: readonly Buffer[]
}

export interface Stage {
  readonly base: string
  readonly userHome: string
  readonly keys: Readonly<Record<VendorName, string>>
  readonly vendors: Readonly<Record<VendorName, FakeVendor>>
  /** The caller's variables, beyond the few that every process needs. */
  readonly callerVariables: Record<string, string>
  keyward(args: readonly string[], input?: string): Promise<Outcome>
  /** Runs `program` (with its first arguments) under `keyward run` in the place of `command`. */
  client(run: {
    command: string
    program: readonly string[]
    args: readonly string[]
    way: 'direct' | 'recorded'
    flags?: readonly string[]
  }): Promise<ClientRun>
  /** Entries of the journal, oldest first. */
  journal(): Promise<readonly Readonly<Record<string, unknown>>[]>
  write(path: string, content: string): void
  close(): Promise<void>
}

const vendorNames = ['openai', 'anthropic', 'gemini', 'stripe'] as const
export type VendorName = (typeof vendorNames)[number]

/** Vendors on loopback, a home with a credential for each, an agent that may use them all, and a server. */
export async function openStage(): Promise<Stage> {
  const base = mkdtempSync('/tmp/keyward-clients-')
  const place = (name: string): string => directory(join(base, name))
  own(base)
  const userHome = place('user')
  const work = place('work')
  place('keyward')
  const keys = makeKeys()
  const authority = await createAuthority()
  const leaf = await authority.issue(['127.0.0.1'])
  const start = (name: VendorName, rules: Parameters<typeof startVendor>[0]) =>
    startVendor(rules, { key: keys[name], leaf })
  const vendors = {
    openai: await start('openai', openaiRules(reply)),
    anthropic: await start('anthropic', anthropicRules(reply)),
    gemini: await start('gemini', geminiRules(reply)),
    stripe: await start('stripe', stripeRules()),
  }
  const callerVariables: Record<string, string> = {}
  const environment = (): Record<string, string> => ({
    HOME: userHome,
    PATH: `${dirname(process.execPath)}:${join(root, 'node_modules/.bin')}:/usr/local/bin:/usr/bin:/bin`,
    TMPDIR: place('tmp'),
    KEYWARD_HOME: join(base, 'keyward/home'),
    TERM: 'dumb',
    ...callerVariables,
  })
  const launch = (args: readonly string[]): ChildProcess =>
    spawn(join(root, 'keyward'), args, { cwd: work, env: environment(), ...ordinary })
  const keyward = (args: readonly string[], input = ''): Promise<Outcome> => outcomeOf(launch(args), input)
  const server = launch(['up', '--gateway', '127.0.0.1:0'])
  const stage: Stage = {
    base,
    userHome,
    keys,
    vendors,
    callerVariables,
    keyward,
    client: async ({ command, program, args, way, flags = [] }) => {
      const out = join(base, 'out', randomBytes(6).toString('hex'))
      directory(dirname(out))
      const wrapper = join(place('bin'), command)
      const attend = join(root, 'test/e2e/clients/child/attend.ts')
      const start = [process.execPath, '--disable-warning=ExperimentalWarning', attend, out, base, way, ...program]
      writeFileSync(wrapper, `#!/bin/sh\nexec ${start.map((word) => `'${word}'`).join(' ')} "$@"\n`, { mode: 0o755 })
      const outcome = await keyward(['run', '--agent', 'client', '--egress', 'deny', ...flags, '--', wrapper, ...args])
      return { ...outcome, ...leftBehind(out) }
    },
    journal: async () => {
      const { stdout } = await keyward(['journal', 'tail', '--json', '-n', '10000'])
      return entriesOf(stdout)
    },
    write: (path, content) => {
      const missing: string[] = []
      for (let at = dirname(path); !existsSync(at); at = dirname(at)) missing.unshift(at)
      for (const each of missing) directory(each)
      writeFileSync(path, content, { mode: 0o600 })
      own(path)
    },
    close: async () => {
      server.kill('SIGTERM')
      await new Promise<void>((resolve) =>
        server.exitCode === null ? server.once('exit', () => resolve()) : resolve(),
      )
      await Promise.all(vendorNames.map((name) => vendors[name].close()))
      rmSync(base, { recursive: true, force: true })
    },
  }
  await ready(server)
  await furnish(stage, authority.certificate)
  return stage
}

/** Redirects each vendor's service to its fake, and stores its key. */
async function furnish(stage: Stage, certificate: string): Promise<void> {
  stage.write(join(stage.base, 'services/ca.pem'), certificate)
  await expectDone(stage.keyward(['agent', 'add', 'client']))
  for (const name of vendorNames) {
    const file = join(stage.base, 'services', `${name}.yaml`)
    stage.write(file, `id: ${name}\nendpoint: ${stage.vendors[name].origin}\ntrust: ./ca.pem\n`)
    await expectDone(stage.keyward(['service', 'add', file]))
    await expectDone(stage.keyward(['credential', 'add', name, '--service', name, '--stdin'], stage.keys[name]))
    await expectDone(stage.keyward(['grant', 'add', '--agent', 'client', '--credential', name, '--allow', '*']))
  }
}

async function expectDone(command: Promise<Outcome>): Promise<void> {
  const { code, stdout, stderr } = await command
  if (code !== 0) throw new Error(`keyward ended with ${String(code)}: ${stdout}${stderr}`)
}

/** Keys of the vendors' own shapes, new in every run. */
function makeKeys(): Record<VendorName, string> {
  const random = (length: number): string => randomBytes(length).toString('hex').slice(0, length)
  return {
    openai: ['sk', 'proj', random(48)].join('-'),
    anthropic: ['sk', 'ant', 'api03', `${random(93)}AA`].join('-'),
    gemini: `AIza${random(35)}`,
    stripe: ['sk', 'test', random(24)].join('_'),
  }
}

async function ready(server: ChildProcess): Promise<void> {
  let heard = ''
  await new Promise<void>((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      heard += chunk.toString()
      if (heard.includes('the gateway is')) resolve()
    }
    server.stdout?.on('data', listen)
    server.stderr?.on('data', listen)
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`keyward up ended with ${String(code)}: ${heard}`)))
  })
}

function outcomeOf(child: ChildProcess, input: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    const timer = setTimeout(() => child.kill('SIGKILL'), outcomeMilliseconds)
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() })
    })
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

function leftBehind(out: string): Omit<ClientRun, keyof Outcome> {
  const names = existsSync(out) ? readdirSync(out) : []
  const all = (prefix: string): Buffer[] =>
    names.filter((name) => name.startsWith(prefix)).map((name) => readFileSync(join(out, name)))
  const variables: unknown = names.includes('variables.json')
    ? JSON.parse(readFileSync(join(out, 'variables.json'), 'utf8'))
    : {}
  const given = typeof variables === 'object' && variables !== null ? variables : {}
  return {
    variables: Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)])),
    readable: Buffer.concat(all('readable')),
    received: all('received.'),
    sent: all('sent.'),
  }
}

function entriesOf(text: string): Readonly<Record<string, unknown>>[] {
  return text.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return []
    const entry: unknown = JSON.parse(line)
    return typeof entry === 'object' && entry !== null ? [{ ...entry }] : []
  })
}

function directory(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  own(path)
  return path
}

function own(path: string): void {
  if (ordinary.uid !== undefined && ordinary.gid !== undefined) chownSync(path, ordinary.uid, ordinary.gid)
}
