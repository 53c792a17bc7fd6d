import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect } from 'vitest'
import { attack, inside } from './attack.ts'
import { openOrdinaryRun, type Mode, type OrdinaryRun } from './ordinary-run.ts'

let stage: OrdinaryRun

beforeAll(async () => {
  stage = await openOrdinaryRun()
})
afterAll(() => stage.close())

const value = (): string => randomBytes(20).toString('hex')

/** What an operator's shell may hold: of this product, of its peers, of clouds and of tools. None may pass. */
const operators = (): Record<string, string> => ({
  KEYWARD_PASSPHRASE_FILE: '',
  KEYWARD_NODE: 'operator',
  INFISICAL_TOKEN: value(),
  OP_SERVICE_ACCOUNT_TOKEN: value(),
  VAULT_TOKEN: value(),
  DOPPLER_TOKEN: value(),
  AWS_ACCESS_KEY_ID: value(),
  AWS_SECRET_ACCESS_KEY: value(),
  AWS_SESSION_TOKEN: value(),
  AZURE_CLIENT_SECRET: value(),
  GOOGLE_APPLICATION_CREDENTIALS: `/nowhere/${value()}`,
  GITHUB_TOKEN: value(),
  NPM_TOKEN: value(),
  DATABASE_URL: `postgres://user:${value()}@db.example.test/app`,
  SSH_AUTH_SOCK: `/nowhere/${value()}`,
  DOCKER_HOST: `unix:///nowhere/${value()}`,
  DBUS_SESSION_BUS_ADDRESS: `unix:path=/nowhere/${value()}`,
  BASH_ENV: `/nowhere/${value()}`,
  LD_PRELOAD: '',
  MY_OWN_THING: value(),
  // On the allow-list by name, and so by value not: a login in a URL.
  LC_MINE: `https://me:${value()}@registry.example.test/`,
})

for (const mode of ['none', 'files', 'full'] satisfies Mode[]) {
  attack(
    'I7',
    `none of the operator’s variables and none of Keyward’s own reach the child (${mode})`,
    inside,
    async () => {
      const held = operators()
      const { code, out, err } = await stage.run(mode, 'console.log(JSON.stringify(process.env))', {
        ...held,
        LC_SECRET: stage.secret,
      })
      expect({ code, err: mode === 'none' ? '' : err }).toEqual({ code: 0, err: '' })
      const variables: Record<string, string> = JSON.parse(out)
      const names = Object.keys(variables)
      expect(names.filter((name) => name.startsWith('KEYWARD_'))).toEqual([])
      expect(names.filter((name) => name in held)).toEqual([])
      expect(names).not.toContain('LC_SECRET')
      const texts = Object.values(variables)
      for (const text of Object.values(held).filter((one) => one.length > 16))
        expect(texts.filter((one) => one.includes(text))).toEqual([])
      // It did get what it needs: the check above did not look at an empty environment.
      expect(names).toEqual(expect.arrayContaining(['PATH', 'HOME', 'HTTPS_PROXY', 'ECHO_API_KEY', 'ECHO_BASE_URL']))
      expect(variables['ECHO_API_KEY']).toContain('kwp')
    },
  )
}

attack('I7', 'the server keeps none of the shell’s variables either', inside, async () => {
  const { out } = await stage.keyward(['status', '--json'])
  const { processId }: { processId: number } = JSON.parse(out)
  const { readFileSync } = await import('node:fs')
  const names = readFileSync(`/proc/${processId}/environ`, 'latin1')
    .split('\0')
    .flatMap((text) => (text === '' ? [] : [text.split('=')[0] ?? '']))
  expect(names).toContain('KEYWARD_HOME')
  expect(names.filter((name) => /TOKEN|SECRET|PASS|KEY$/.test(name))).toEqual([])
})
