import { request } from 'node:http'
import { afterAll, beforeAll, expect } from 'vitest'
import { spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { attack, inside } from './attack.ts'
import { openOrdinaryRun, said, type Mode, type OrdinaryRun } from './ordinary-run.ts'

let stage: OrdinaryRun

beforeAll(async () => {
  stage = await openOrdinaryRun()
})
afterAll(() => stage.close())

const program = `
const { ECHO_API_KEY: held, ECHO_BASE_URL: base } = process.env
const answer = await fetch(base + '/mine', { headers: { authorization: 'Bearer ' + held } })
console.log('answered', answer.status, 'at', base, 'with', held, 'end of it')
await new Promise((done) => process.stdin.on('end', done).resume())
`

interface Told {
  readonly status: number
  readonly body: string
}

/** From this very process: another user's where the tests run as root. */
function askHere(url: string, placeholder: string): Promise<Told> {
  return new Promise((done, fail) => {
    const asking = request(url, { agent: false, headers: { authorization: `Bearer ${placeholder}` } }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => done({ status: response.statusCode ?? 0, body }))
    })
    asking.on('error', fail).end()
  })
}

/** From a process of the same user that is none of the run's. */
async function askAsSameUser(url: string, placeholder: string): Promise<Told> {
  const script = `fetch(process.argv[1], { headers: { authorization: 'Bearer ' + process.argv[2] } }).then(async (a) => console.log(JSON.stringify({ status: a.status, body: await a.text() })))`
  const child = spawn(realpathSync(process.execPath), ['-e', script, url, placeholder], { ...stage.user, env: {} })
  return JSON.parse(/\{.*\}/s.exec(await said(child, /\}\s*$/))?.[0] ?? '')
}

for (const mode of ['none', 'files', 'full'] satisfies Mode[]) {
  attack('I1', `a placeholder of a run that goes on, used outside of it (${mode})`, inside, async () => {
    const child = stage.start(mode, program)
    const text = await said(child, /end of it/)
    try {
      const [, status, base = '', placeholder = ''] = /answered (\d+) at (\S+) with (\S+) end/.exec(text) ?? []
      expect(status).toBe('200')
      const before = stage.received.length
      for (const ask of [askHere, askAsSameUser]) {
        const told = await ask(`${base}/stolen`, placeholder)
        expect(told.status).toBe(403)
        expect(JSON.parse(told.body)).toMatchObject({ code: 'session_elsewhere' })
      }
      expect(stage.received.length).toBe(before)
      const { out } = await stage.keyward(['journal', 'search', 'session_elsewhere', '--json', '--kind', 'refusal'])
      const reasons = [...out.matchAll(/"reason":\s*"(\w+)"/g)].map((match) => match[1])
      expect(reasons).toContain('process')
      expect(out).toMatch(/"program":\s*"node/)
      // The run's own call was told apart for certain, not let through for want of knowledge.
      const intents = await stage.keyward(['journal', 'search', '--json', '--kind', 'intent'])
      expect(intents.out).toMatch(/"bound":\s*"process"/)
      expect(intents.out).not.toContain('not proven')
    } finally {
      child.stdin?.end()
      await new Promise((done) => child.once('close', done))
    }
  })
}
