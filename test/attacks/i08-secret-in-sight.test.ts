import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { findLeaks } from '../e2e/canary/secrets.ts'
import { attack, inside } from './attack.ts'
import { openOrdinaryRun, said, type Mode, type OrdinaryRun } from './ordinary-run.ts'

let stage: OrdinaryRun

beforeAll(async () => {
  stage = await openOrdinaryRun()
})
afterAll(() => stage.close())

const FILE_MAXIMUM_BYTES = 8 * 1024 * 1024

/**
 * What a child looks at: its variables and arguments, those of every process that it sees, and every file in
 * the folders that it was given. Where nothing is contained the variables of others are its user's own, and open. Calls the service first, so that the secret has been used.
 */
const look = (mode: Mode): string => `
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
const { ECHO_API_KEY: held, ECHO_BASE_URL: base, HTTPS_PROXY: proxy } = process.env
const answer = await fetch(base + '/me', { headers: { authorization: 'Bearer ' + held } })
console.log('answered', answer.status, await answer.text(), JSON.stringify([...answer.headers]))
console.log(JSON.stringify(process.env), JSON.stringify(process.argv), JSON.stringify(process.execArgv))
for (const id of readdirSync('/proc').filter((name) => /^\\d+$/.test(name)))
  for (const name of ['cmdline', 'comm'${mode === 'none' ? '' : ", 'environ'"}]) try { console.log(readFileSync('/proc/' + id + '/' + name, 'latin1')) } catch {}
const folders = new Set([process.cwd(), process.env.HOME, process.env.TMPDIR, ...Object.values(process.env).filter((text) => text.startsWith('/')).map((text) => dirname(text))])
for (const folder of folders) {
  if (['/', '/usr', '/bin', '/usr/bin', '/usr/sbin'].includes(folder) || folder.startsWith('/usr/')) continue
  let names = []
  try { names = readdirSync(folder, { recursive: true }) } catch {}
  for (const name of names) try { if (statSync(join(folder, name)).size < ${FILE_MAXIMUM_BYTES}) console.log(join(folder, name), readFileSync(join(folder, name), 'latin1')) } catch {}
}
console.log('token', /session:([^@]+)@/.exec(proxy)[1], 'placeholder', held, ['the', 'end'].join('-'))
await new Promise((done) => process.stdin.on('end', done).resume())
`

/** Every file below, as bytes. */
function filesIn(folder: string): Buffer[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => statSync(path).size <= FILE_MAXIMUM_BYTES)
    .map((path) => readFileSync(path))
}

/** Arguments of every process of this machine, as any user may read them. */
function argumentsOfAll(): string {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((id) => {
      try {
        return readFileSync(`/proc/${id}/cmdline`, 'latin1')
      } catch {
        return ''
      }
    })
    .join('\n')
}

for (const mode of ['none', 'files', 'full'] satisfies Mode[]) {
  attack(
    'I8',
    `variables, arguments and files that the child sees hold no secret, and no argument a token (${mode})`,
    inside,
    async () => {
      stage.received.length = 0
      const child = stage.start(mode, look(mode), {
        LC_COPY: Buffer.from(stage.secret).toString('base64'),
        LANG: stage.secret,
      })
      const text = await said(child, /the-end/)
      const [, token = '', placeholder = ''] = /token (\S+) placeholder (\S+) the-end/.exec(text) ?? []
      try {
        expect(text).toContain('answered 200 ok')
        expect(stage.received).toEqual([`Bearer ${stage.secret}`])
        // The key file is text that a person could copy: its last line is the key.
        const rootKey = readFileSync(stage.rootKeyFile, 'latin1').trim().split('\n').at(-1) ?? ''
        expect(findLeaks(Buffer.from(text), { secret: stage.secret })).toEqual([])
        if (mode !== 'none') expect(text.includes(rootKey)).toBe(false)
        const all = argumentsOfAll()
        // The look did see this run: the program itself stands in it.
        expect(all).toContain('--contain')
        for (const held of [token, placeholder, stage.secret, rootKey]) {
          expect(held.length).toBeGreaterThan(16)
          expect(all.includes(held)).toBe(false)
        }
      } finally {
        child.stdin?.end()
        await new Promise((done) => child.once('close', done))
      }
    },
  )
}

attack('I8', 'nothing that Keyward writes down holds the secret, the token or the placeholder', inside, async () => {
  const { out } = await stage.run(
    'files',
    "console.log(/session:([^@]+)@/.exec(process.env.HTTPS_PROXY)[1], process.env.ECHO_API_KEY, (await fetch(process.env.ECHO_BASE_URL + '/' + process.env.ECHO_API_KEY, { headers: { authorization: 'Bearer ' + process.env.ECHO_API_KEY } })).status)",
  )
  const [token = '', placeholder = '', status] = out.trim().split(' ')
  expect(status).toBe('200')
  const written = filesIn(stage.home)
  expect(written.length).toBeGreaterThan(2)
  for (const bytes of written) {
    expect(findLeaks(bytes, { secret: stage.secret })).toEqual([])
    for (const held of [token, placeholder]) expect(bytes.includes(held)).toBe(false)
  }
})
