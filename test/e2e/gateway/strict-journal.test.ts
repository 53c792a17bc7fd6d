import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { readConfig } from '../../../src/config.ts'
import { fronts } from '../../attacks/attack.ts'
import { configIn, openStage } from './harness.ts'
import type { Stage } from './harness.ts'
import { codeOf } from './requests.ts'
import type { Held, Login } from './requests.ts'
import { always, startUpstream } from './upstream.ts'
import type { Upstream } from './upstream.ts'

/**
 * Promise 4 in strict mode: the intent is on the disk, and not only with the operating system, before the
 * credential leaves. The disk here writes as ever, and hangs or fails when it is to sync.
 */

const folder = mkdtempSync(join(tmpdir(), 'keyward-strict-'))
const control = join(folder, 'control')
function disk(mood: string): void {
  writeFileSync(`${control}.new`, mood)
  renameSync(`${control}.new`, control)
}
disk('ok')
const journalFiles = new URL(
  `../../../src/journal/faulty-files.ts?control=${encodeURIComponent(control)}`,
  import.meta.url,
)

let upstream: Upstream
const stages: Stage[] = []

async function stageWith(strictJournal: boolean) {
  const home = mkdtempSync(join(folder, 'home-'))
  const stage = await openStage({ config: { ...configIn(home), strictJournal }, journalFiles })
  stages.push(stage)
  const held = await stage.hold({ id: 'place', endpoint: upstream.origin })
  const login = await stage.login('triage')
  return { stage, held, login }
}

let strict: { stage: Stage; held: Held; login: Login }

beforeAll(async () => {
  upstream = await startUpstream(always(200, {}, 'ok'))
  strict = await stageWith(true)
})

beforeEach(() => disk('ok'))

afterAll(async () => {
  disk('ok')
  for (const stage of stages) await stage.close()
  await upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

const ask = ({ stage, held, login }: typeof strict, front: (typeof fronts)[number]) =>
  stage.request({ ...front, held, login, headers: [['Authorization', `Bearer ${login.placeholder(held)}`]] })

const fine = async (): Promise<void> => {
  disk('ok')
  await expect.poll(async () => (await ask(strict, plain)).status, { timeout: 10_000 }).toBe(200)
}
const [plain] = fronts as [(typeof fronts)[number]]

test('the operator asks for it: by variable, or in keyward.yaml', () => {
  const { settings } = readConfig({}, { KEYWARD_HOME: folder, KEYWARD_STRICT_JOURNAL: 'true' })
  expect(settings.strictJournal).toMatchObject({ value: true, origin: 'variable' })
  writeFileSync(join(folder, 'keyward.yaml'), 'strictJournal: true\n')
  expect(readConfig({}, { KEYWARD_HOME: folder }).settings.strictJournal).toMatchObject({ value: true, origin: 'file' })
})

test.each(fronts.map((front) => [front.name, front] as const))(
  '%s: while a sync hangs or fails, no credential leaves, and the request is refused',
  async (_name, front) => {
    await fine()
    for (const mood of ['sync hang', 'sync EIO']) {
      const before = upstream.received().length
      disk(mood)
      const answer = await ask(strict, front)
      expect([codeOf(answer), answer.status], mood).toEqual(['journal_unwritable', 503])
      expect(upstream.received().length, mood).toBe(before)
      await fine()
    }
  },
)

test('a sync that is slow delays the request, and the credential leaves only after it', async () => {
  await fine()
  const before = upstream.received().length
  disk('sync hang')
  const asked = ask(strict, plain)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(upstream.received().length).toBe(before)
  disk('ok')
  expect((await asked).status).toBe(200)
  expect(upstream.received().length).toBeGreaterThan(before)
})

test('without strict mode the same disk lets the request go: the test sees the difference', async () => {
  const loose = await stageWith(false)
  expect((await ask(loose, plain)).status).toBe(200)
  const before = upstream.received().length
  disk('sync hang')
  expect((await ask(loose, plain)).status).toBe(200)
  expect(upstream.received().length).toBeGreaterThan(before)
})
