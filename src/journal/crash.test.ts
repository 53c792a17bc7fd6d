import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'
import { openJournal } from './journal.ts'
import { searchJournal } from './search.ts'
import { verifyJournal } from './verify.ts'

const CLIENTS = 1000

/** Reports each acknowledged entry into a file of its own. */
const program = (module: string): string => `
  import { createPrivateKey, createPublicKey } from 'node:crypto'
  import { openSync, writeSync } from 'node:fs'
  const reports = openSync(process.argv[2], 'a')
  import { openJournal } from ${JSON.stringify(module)}
  const privateKey = createPrivateKey(process.env.JOURNAL_KEY)
  const journal = await openJournal({ directory: process.argv[1], node: 'n', privateKey, publicKey: createPublicKey(privateKey), now: Date.now })
  for (let client = 0; client < ${CLIENTS}; client++) void (async () => {
    for (let number = 0; ; number++) {
      await journal.append({ kind: 'intent', client, number }, { sync: client % 100 === 0 })
      writeSync(reports, client + ' ' + number + '\\n')
    }
  })()`

it('kill -9 in the middle of 1,000 concurrent appends loses no acknowledged entry', async () => {
  const home = mkdtempSync(join(tmpdir(), 'keyward-journal-'))
  const directory = join(home, 'journal')
  const reports = join(home, 'reports')
  const keys = generateKeyPairSync('ed25519')
  const module = pathToFileURL(join(import.meta.dirname, 'journal.ts')).href
  try {
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program(module), directory, reports], {
        env: { JOURNAL_KEY: keys.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() },
        stdio: 'inherit',
      })
      const ended = new Promise((resolve) => child.on('close', (_code, signal) => resolve(signal)))
      await expect
        .poll(() => statSync(reports, { throwIfNoEntry: false })?.size ?? 0, { timeout: 20_000, interval: 3 })
        .toBeGreaterThan(20_000 * (round + 1))
      child.kill('SIGKILL')
      expect(await ended).toBe('SIGKILL')
      const acknowledged = readFileSync(reports, 'utf8').split('\n').slice(0, -1)
      rmSync(reports)
      expect(acknowledged.length).toBeGreaterThan(CLIENTS)

      expect(await verifyJournal({ directory, publicKey: keys.publicKey })).toMatchObject({ ok: true })
      const journal = await openJournal({ directory, node: 'n', ...keys, now: Date.now })
      await journal.close()
      const report = await verifyJournal({ directory, publicKey: keys.publicKey })
      expect(report).toMatchObject({ ok: true, tornTail: null, provenTo: report.entries })
      const there = new Set<string>()
      for await (const { event } of searchJournal({ directory })) there.add(`${event['client']} ${event['number']}`)
      expect(acknowledged.filter((one) => !there.has(one))).toEqual([])
    }
  } finally {
    rmSync(home, { recursive: true })
  }
}, 60_000)
