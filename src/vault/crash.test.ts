import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { vaultFolder } from './fixture.ts'

const home = vaultFolder('crash')
afterAll(() => home.remove())
const child = fileURLToPath(new URL('crash-child.ts', import.meta.url))

/** Lets a process commit until it has acknowledged `count` times more, then kills it in the middle. */
async function commitAndKill(path: string, count: number): Promise<number> {
  const running = spawn(process.execPath, [child, path, 'crash'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  let lines = 0
  running.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString()
    lines = printed.split('\n').length - 1
    if (lines >= count) running.kill('SIGKILL')
  })
  const [, signal] = await once(running, 'close')
  expect(signal).toBe('SIGKILL')
  return Number(printed.split('\n').slice(0, -1).at(-1))
}

test(
  'every acknowledged commit is there after kill -9, and the vault opens each time',
  { timeout: 60_000 },
  async () => {
    const { records, path } = await home.create()
    await records.close()
    for (const count of [1, 7, 40, 150]) {
      const acknowledged = await commitAndKill(path, count)
      const again = await home.openAt(path)
      for (let number = 0; number <= acknowledged; number += 1) {
        expect(again.records.get('setting', `s${number}`)?.value).toMatchObject({ number })
      }
      // At most the one that was under way may be there without having been acknowledged.
      expect(again.records.all('setting').size - (acknowledged + 1)).toBeLessThanOrEqual(1)
      expect(again.records.epoch).toBe(again.records.all('setting').size + 1)
      await again.records.close()
    }
  },
)
