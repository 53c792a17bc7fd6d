/**
 * What an entry in the journal costs: CPU-µs of the whole process (event loop and worker) for each
 * appended entry, at 64 in flight, and how fast a journal is verified.
 * Run: node bench/journal.ts [entries]
 */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openJournal } from '../src/journal/journal.ts'
import { verifyJournal } from '../src/journal/verify.ts'

const entries = Number(process.argv[2] ?? 200_000)
const IN_FLIGHT = 64
const ROUNDS = 3

const event = (number: number) => ({
  kind: 'intent' as const,
  exchange: `exchange-${number}`,
  door: 'base',
  peer: '127.0.0.1:50000',
  agent: 'triage',
  session: '0123456789abcdefghjkmnpq',
  environment: 'prod',
  host: 'api.example.test',
  method: 'POST',
  path: '/v1/responses',
  service: 'example',
  credential: 'example',
  version: 7,
  decision: 'allow',
  grant: '0123456789abcdefghjkmnpq',
  rule: '*',
  operation: 'responses.create',
})

const keys = generateKeyPairSync('ed25519')
for (let round = 1; round <= ROUNDS; round++) {
  const directory = mkdtempSync(join(tmpdir(), 'keyward-journal-'))
  const journal = await openJournal({ directory, node: 'bench', ...keys, now: Date.now })
  let number = 0
  const latencies: number[] = []
  const client = async (): Promise<void> => {
    while (number < entries) {
      const before = performance.now()
      await journal.append(event(number++))
      latencies.push(performance.now() - before)
    }
  }
  const started = performance.now()
  const cpu = process.cpuUsage()
  await Promise.all(Array.from({ length: IN_FLIGHT }, client))
  const used = process.cpuUsage(cpu)
  const seconds = (performance.now() - started) / 1000
  await journal.close()
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (part: number): string => (sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(2)

  const verifying = performance.now()
  const report = await verifyJournal({ directory, publicKey: keys.publicKey })
  const verifySeconds = (performance.now() - verifying) / 1000
  rmSync(directory, { recursive: true })
  const perEntry = (used.user + used.system) / entries
  console.log(
    `round ${round}: append ${perEntry.toFixed(1)} CPU-µs an entry, ${Math.round(entries / seconds)} a second, ` +
      `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; verify ${Math.round(report.entries / verifySeconds)} entries a second, ok ${report.ok}`,
  )
}
