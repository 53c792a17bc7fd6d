import { openSqliteStore } from '../stores/sqlite.ts'
import { fileRootKey, recordingAnchor, seededRandom } from './fixture.ts'
import { openVault } from './vault.ts'

/** For the crash test: commits one setting after the other, and prints the number of each when it is acknowledged. */
const [path = '', label = ''] = process.argv.slice(2)
const store = await openSqliteStore(path)
const { records } = await openVault({
  store,
  rootKey: fileRootKey(label),
  now: Date.now,
  random: seededRandom('child'),
})
records.attach(recordingAnchor())
const first = records.all('setting').size
for (let number = first; ; number += 1) {
  const value = { number, text: 'x'.repeat(number % 3000) }
  await records.commit([{ table: 'setting', id: `s${number}`, body: { value } }], { actor: 'child', action: 'count' })
  process.stdout.write(`${number}\n`)
}
