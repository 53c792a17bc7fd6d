import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces } from './place.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-disk-'))
const control = join(folder, 'control')
/** What the disk of the journal does from now on; src/journal/faulty-files.ts knows the words. Replaced in one step, since the worker reads it all the time. */
function disk(mood: string): void {
  writeFileSync(`${control}.new`, mood)
  renameSync(`${control}.new`, control)
}
disk('ok')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const journalFiles = new URL(
  `../../src/journal/faulty-files.ts?control=${encodeURIComponent(control)}`,
  import.meta.url,
)
const places = usePlaces(undefined, { journalFiles })
/** The promise is one second; a busy machine adds its own. */
const WITHIN_MILLISECONDS = 2_000

attack(
  'S6',
  'a disk that is full, fails or hangs: nothing is sent, and the refusal comes in time',
  fronts,
  async (front) => {
    onTestFinished(() => disk('ok'))
    const where = await places.place()
    const fine = async () => (await places.ask(front, where)).status
    for (const mood of ['write ENOSPC', 'write EIO', 'half ENOSPC', 'hang']) {
      expect(await fine(), mood).toBe(200)
      const before = places.upstream.received().length
      disk(mood)
      const startedAt = performance.now()
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => places.ask(front, where, { target: '/unwritten' })),
      )
      expect(performance.now() - startedAt, mood).toBeLessThan(WITHIN_MILLISECONDS)
      for (const answer of answers) expect([codeOf(answer), answer.status], mood).toEqual(['journal_unwritable', 503])
      expect(places.upstream.received().length, mood).toBe(before)
      // What needs no journal is answered still.
      const nobody = await places.stage.request({ ...front, door: 'base-url', held: { id: 'nobody', host: '' } })
      expect(codeOf(nobody), mood).toBe('service_unknown')
      disk('ok')
      await expect.poll(fine, { timeout: 5_000 }).toBe(200)
    }
  },
)
