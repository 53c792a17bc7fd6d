import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { vaultFolder } from '../../vault/fixture.ts'

const home = vaultFolder('policy-crash')
afterAll(() => home.remove())
const child = fileURLToPath(new URL('crash-child.ts', import.meta.url))

test('half a run never happens: after kill -9 the home is what one run said, whole', { timeout: 60_000 }, async () => {
  const { records, path } = await home.create()
  await records.close()
  for (const count of [1, 3, 6]) {
    const running = spawn(process.execPath, [child, path, 'policy-crash'], { stdio: ['ignore', 'pipe', 'inherit'] })
    let printed = ''
    running.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
      // Not at once: the next run is under way then.
      if (printed.split('\n').length > count) setTimeout(() => running.kill('SIGKILL'), count)
    })
    const [, signal] = await once(running, 'close')
    expect(signal).toBe('SIGKILL')
    const again = await home.openAt(path)
    const agents = [...again.records.all('agent').values()]
    expect(agents).toHaveLength(60)
    expect(new Set(agents.map(({ owner }) => owner)).size).toBe(1)
    const acknowledged = Number(printed.split('\n').slice(0, -1).at(-1))
    const generation = Number(agents[0]?.owner?.slice(1))
    expect([acknowledged, acknowledged + 1]).toContain(generation)
    await again.records.close()
  }
})
