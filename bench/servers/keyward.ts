import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { openApp } from '../../src/app.ts'
import { populate, type SessionFacts, type Wanted } from './populate.ts'

/**
 * Keyward with everything on: sessions and placeholders looked up, policy, a limit that is counted, the
 * journal written, answers searched for every secret of the vault. Opens the home that it is given, or
 * fills a new one. Prints how it is reached; then answers lines: `status`, `collect` (after a garbage
 * collection, where Node exposes it), `revoke` (all sessions).
 *   node keyward.ts '{"home": …, "wanted": …}'
 */
const { home, wanted }: { home: string; wanted: Wanted } = JSON.parse(process.argv[2] ?? '')
// `KEYWARD_BENCH_CODEC=library` measures the libraries' codec instead of Keyward's own.
const codec = process.env['KEYWARD_BENCH_CODEC'] === 'library' ? 'library' : 'own'
const factsFile = `${home}.facts.json`

const app = await openApp({
  config: {
    home,
    database: null,
    rootKeyFile: `${home}.root-key`,
    rootKey: { kind: 'file', shown: 'file', path: `${home}.root-key`, orPassphrase: false },
    passphraseFile: null,
    gateway: { host: '127.0.0.1', port: 0 },
    monitor: null,
    oidcIssuer: null,
    oidcClientId: null,
    oidcClaim: 'email',
    oidcAuthorityFile: null,
    listen: null,
    listenName: null,
    tlsCertificateFile: null,
    tlsKeyFile: null,
    tlsClientAuthorityFile: null,
    node: 'bench',
    witnessFile: null,
    witnessUrl: null,
    witnessKey: null,
    journalShip: null,
    journalShipTokenFile: null,
    strictJournal: false,
    timeZone: 'UTC',
    approvalWaitMilliseconds: 60_000,
  },
  ephemeral: false,
  askPassphrase: null,
  onError(error) {
    console.error(error)
    return 'bench'
  },
  codec,
})
if (!existsSync(factsFile)) writeFileSync(factsFile, JSON.stringify(await populate(app, wanted)), { mode: 0o600 })
const sessions: SessionFacts[] = JSON.parse(readFileSync(factsFile, 'utf8'))
const port = Number(app.gatewayAddress.split(':').at(-1))
console.log(JSON.stringify({ port, authority: app.caCertificate, sessions }))

createInterface(process.stdin).on('line', (line) => {
  void answer(line).then((told) => console.log(JSON.stringify(told)))
})
process.once('SIGTERM', () => void app.close().then(() => process.exit(0)))

async function answer(line: string) {
  if (line === 'collect') globalThis.gc?.()
  if (line === 'revoke') for (const { id } of sessions) await app.sessions.revoke(id, 'bench')
  const { rss, heapUsed, external } = process.memoryUsage()
  const descriptors = readdirSync('/proc/self/fd').length
  // Without those of changes to the store, two each: heads of the journal are kept there while it runs.
  const journalEntries = app.journal.size - 2 * app.records.epoch
  return { journalEntries, inflight: app.inflight.size, rss, heapUsed, external, descriptors }
}
