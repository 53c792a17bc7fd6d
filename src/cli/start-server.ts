import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs'
import process from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import type { StatusView } from '../api/answers.ts'
import { errors, KeywardError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import { refuseForeignHome } from './home-folder.ts'
import { logPath } from './log-path.ts'
import type { Io } from './io.ts'

const READY_MILLISECONDS = 15_000
const POLL_MILLISECONDS = 25
const MAX_LOG_TAIL_BYTES = 16_384

/**
 * The server of this home: the one that answers, or one that is started now and ends by itself after
 * the last session. Throws what kept it from starting.
 */
export async function ensureServer(io: Io): Promise<StatusView> {
  const running = await statusOf(io)
  if (running !== null) return running
  refuseForeignHome(io.home)
  mkdirSync(io.home, { recursive: true, mode: 0o700 })
  const path = logPath(io.home)
  const log = openSync(path, 'a', 0o600)
  const from = statSync(path).size
  const child = spawn(process.execPath, [...process.execArgv, io.entry, 'up', '--ephemeral', '--json'], {
    cwd: '/',
    detached: true,
    env: { ...io.environment, KEYWARD_HOME: io.home },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  let ended = false
  child.once('exit', () => (ended = true))
  child.once('error', () => (ended = true))
  child.unref()
  const deadline = Date.now() + READY_MILLISECONDS
  while (Date.now() < deadline) {
    const status = await statusOf(io)
    if (status !== null) return status
    if (ended) {
      const problem = problemSince(path, from)
      // Another run was quicker; its server will answer.
      if (problem?.code !== 'home_in_use')
        throw problem ?? new KeywardError('server_unreachable', `It ended while starting; ${path} says more.`)
    }
    await wait(POLL_MILLISECONDS)
  }
  throw new KeywardError(
    'server_unreachable',
    `It was not ready within ${READY_MILLISECONDS / 1000} s; ${path} says more.`,
  )
}

async function statusOf(io: Io): Promise<StatusView | null> {
  try {
    return await io.client().call('GET /status', {}, {})
  } catch (error) {
    if (error instanceof KeywardError && error.code === 'server_unreachable') return null
    throw error
  }
}

/** The problem that a server wrote before it ended. */
function problemSince(path: string, from: number): KeywardError | null {
  const text = readFileSync(path).subarray(from).subarray(-MAX_LOG_TAIL_BYTES).toString('utf8')
  for (const line of text.split('\n').toReversed()) {
    if (!line.startsWith('{"type":"urn:keyward:error:')) continue
    try {
      const { code, detail }: { code?: unknown; detail?: unknown } = JSON.parse(line)
      if (isErrorCode(code)) return new KeywardError(code, typeof detail === 'string' ? detail : undefined)
    } catch {
      continue
    }
  }
  return null
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errors, code)
}
