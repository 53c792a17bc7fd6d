import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { readPostgresUrl } from '../../stores/postgres-address.ts'
import { openPostgresStore } from '../../stores/postgres.ts'
import { openSqliteStore } from '../../stores/sqlite.ts'
import { fileRootKey, seededRandom } from '../fixture.ts'
import { sourceOf } from './fixture.ts'
import { restoreBackup } from './restore.ts'

/** For the crash test: restores a backup, and kills itself after so many steps. Prints the name of the last one. */
const [home = '', file = '', label = '', last = '', url = ''] = process.argv.slice(2)
const bytes = readFileSync(file)
const random = seededRandom(`child ${label}`)
const store =
  url === '' ? await openSqliteStore(join(home, 'keyward.db')) : await openPostgresStore(readPostgresUrl(url), 'node-1')
let steps = 0
await restoreBackup({
  source: () => sourceOf(bytes),
  keys: { rootKey: fileRootKey(label), now: Date.now, random },
  place: { home, node: 'node-1', store },
  actor: 'child',
  newId: () => Buffer.from(random(16)).toString('hex'),
  newer: null,
  step(name) {
    steps += 1
    if (steps !== Number(last)) return
    process.stdout.write(name)
    process.kill(process.pid, 'SIGKILL')
    for (;;);
  },
})
await store.close()
process.stdout.write('done')
