import { randomBytes } from 'node:crypto'
import { openSqliteStore } from '../../stores/sqlite.ts'
import { fileRootKey, recordingAnchor } from '../../vault/fixture.ts'
import { openVault } from '../../vault/vault.ts'
import { policyOver } from './fixture.ts'

/** For the crash test: applies one generation of files after the other, and prints the number of each when it is acknowledged. */
const AGENTS = 60
const [path = '', label = ''] = process.argv.slice(2)
const store = await openSqliteStore(path)
const opened = await openVault({ store, rootKey: fileRootKey(label), now: Date.now, random: randomBytes })
opened.records.attach(recordingAnchor())
const { policyFiles } = policyOver(opened, { now: Date.now, newId: () => randomBytes(16).toString('hex') })
const [agent] = opened.records.all('agent').values()
for (let number = Number(agent?.owner?.slice(1) ?? 0) + 1; ; number += 1) {
  const agents = Array.from(
    { length: AGENTS },
    (_, index) => `kind: agent\nname: a${number}-${index}\nowner: g${number}\n`,
  )
  const wish = { files: [{ path: 'a.yaml', text: agents.join('---\n') }], prune: true }
  await policyFiles.apply({ ...wish, digest: (await policyFiles.plan(wish)).digest, values: {} }, 'child')
  process.stdout.write(`${number}\n`)
}
