import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { isProcessAlive, startTicksOf, unknownStartTicks } from './process.ts'

test('a running process is alive, and gone once it has ended', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] })
  const processId = child.pid ?? 0
  const startTicks = startTicksOf(processId)
  expect(startTicks).toMatch(/^[0-9]+$/)
  const binding = { kind: 'process' as const, processId, startTicks: startTicks ?? '' }
  expect(isProcessAlive(binding)).toBe(true)
  child.stdin.end()
  await once(child, 'exit')
  expect(isProcessAlive(binding)).toBe(false)
  expect(startTicksOf(processId)).toBeNull()
})

test.runIf(process.platform === 'linux')('another process with the same id is another process', () => {
  expect(isProcessAlive({ kind: 'process', processId: process.pid, startTicks: '1' })).toBe(false)
  expect(isProcessAlive({ kind: 'process', processId: process.pid, startTicks: unknownStartTicks })).toBe(true)
})

test('a session that is bound to nothing is bound to nothing that could end', () => {
  expect(isProcessAlive({ kind: 'unbound' })).toBe(true)
})
