import { spawn } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { createControlClient } from '../../../client/control-client.ts'
import { controlSocketPath } from '../../../core/socket-path.ts'
import type { Io } from '../../io.ts'
import { closed, notClosed } from '../finding.ts'
import type { Finding } from '../finding.ts'
import { inspectorOf } from './server.ts'

const READY_MILLISECONDS = 8_000
const POLL_MILLISECONDS = 50
const END_MILLISECONDS = 2_000

/** Starts a server of an empty home with a debugger asked for, and looks whether it gets one. */
export async function checkDebuggerRefused(io: Io, signal: AbortSignal): Promise<Finding> {
  const id = 'server-inspect-refused'
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'keyward-doctor-'))
  const home = join(folder, 'home')
  const child = spawn(process.execPath, [...process.execArgv, io.entry, 'up', '--ephemeral', '--json'], {
    cwd: '/',
    env: {
      ...io.environment,
      NODE_OPTIONS: '--inspect=127.0.0.1:0',
      KEYWARD_HOME: home,
      KEYWARD_ROOT_KEY_FILE: `${home}.root-key`,
      KEYWARD_PASSPHRASE_FILE: '',
      KEYWARD_GATEWAY: '127.0.0.1:0',
    },
    stdio: 'ignore',
  })
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const remove = (): void => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const client = createControlClient(controlSocketPath(home, tmpdir(), process.getuid?.() ?? 0))
    const deadline = Date.now() + READY_MILLISECONDS
    while (Date.now() < deadline && !signal.aborted) {
      if (child.exitCode !== null || child.signalCode !== null) {
        return closed(id, 'server', 'a server that is started with a debugger refuses to serve')
      }
      const status = await client.call('GET /status', {}, {}).catch(() => null)
      if (status === null) {
        await wait(POLL_MILLISECONDS)
        continue
      }
      const port = await inspectorOf(status.processId)
      if (port === null) return closed(id, 'server', 'a server that is started with a debugger drops it')
      return notClosed(
        'broken',
        id,
        'server',
        'a server can be started with a debugger',
        'Start it by the `keyward` command.',
      )
    }
    return notClosed(
      'unproven',
      id,
      'server',
      'whether a server can be started with a debugger',
      'Try again when the machine is less busy.',
    )
  } finally {
    child.kill('SIGTERM')
    await Promise.race([ended, wait(END_MILLISECONDS, undefined, { ref: false })])
    remove()
  }
}
