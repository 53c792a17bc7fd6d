import { Hono } from 'hono'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { createControlClient } from '../client/control-client.ts'
import { listenControl } from './server.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function home(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-test-'))
  folders.push(folder)
  return folder
}

const api = new Hono().get('/status', (context) => context.json({ version: 'x' }))

test('serves on a socket that its owner alone can open, and removes it at the end', async () => {
  const path = join(home(), 'control.sock')
  const server = await listenControl(api, path)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(await createControlClient(path).call('GET /status', {}, {})).toEqual({ version: 'x' })
  await server.close()
  expect(existsSync(path)).toBe(false)
})

test('a socket that a dead server left behind is replaced', async () => {
  const path = join(home(), 'control.sock')
  // A child that dies by SIGKILL leaves its socket; closing would remove it.
  const { spawnSync } = await import('node:child_process')
  spawnSync(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ])
  expect(existsSync(path)).toBe(true)
  const server = await listenControl(api, path)
  expect(await createControlClient(path).call('GET /status', {}, {})).toEqual({ version: 'x' })
  await server.close()
})

test('a live server keeps its socket', async () => {
  const path = join(home(), 'control.sock')
  const other = createServer().listen(path)
  await new Promise((resolve) => other.once('listening', resolve))
  await expect(listenControl(api, path)).rejects.toMatchObject({ code: 'home_in_use' })
  expect(existsSync(path)).toBe(true)
  await new Promise((resolve) => other.close(resolve))
})

test('a folder that others can enter, and a file in the way, are refused', async () => {
  const open = join(home(), 'open')
  mkdirSync(open)
  chmodSync(open, 0o755)
  await expect(listenControl(api, join(open, 'control.sock'))).rejects.toMatchObject({ code: 'home_unsafe' })
  const path = join(home(), 'control.sock')
  writeFileSync(path, '')
  await expect(listenControl(api, path)).rejects.toMatchObject({ code: 'home_unsafe' })
})

test('where nobody listens the client says so, with exit code 3', async () => {
  const call = createControlClient(join(home(), 'control.sock')).call('GET /status', {}, {})
  await expect(call).rejects.toMatchObject({ code: 'server_unreachable', exit: 3 })
})
