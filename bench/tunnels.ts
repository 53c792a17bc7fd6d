import { readFileSync } from 'node:fs'
import { ANSWER, layGround, numberAt, startUpstream } from './ground.ts'
import { SMALL, startKeyward, tunnelTarget, type KeywardServer } from './keyward-peers.ts'
import type { Target } from './load/job.ts'
import { openLine, requestBody, type Line } from './load/line.ts'
import type { Options } from './options.ts'
import { pause, residentMegabytes } from './processes.ts'

/** Many tunnels open at once, a request in each, and how long they outlive the revocation of their sessions. */
const TUNNELS_PER_SESSION = 1_000
const OPENING_AT_ONCE = 32
/** Descriptors that are not tunnels: files, connections to the service. */
const DESCRIPTORS_SPARE = 500
/** SECURITY.md: open tunnels of a revoked session end within a second. */
const REVOKED_MILLISECONDS = 1_000
const PATIENCE_MILLISECONDS = 30_000
const body = requestBody(false)

/** Gives whether all tunnels worked and ended in time. */
export async function holdTunnels(options: Options, say: (text: string) => void): Promise<boolean> {
  const ground = await layGround()
  const upstream = await startUpstream(ground)
  const sessions = Math.ceil(options.tunnels / TUNNELS_PER_SESSION)
  const server = await startKeyward(ground, upstream, { size: SMALL, sessions, callers: 1 })
  // Node raises the soft limit of each of its processes to the hard one.
  const allowed = descriptorsAllowed(server.program.processId) - DESCRIPTORS_SPARE
  const count = Math.min(options.tunnels, allowed)
  const targets = server.sessions.map((session) => tunnelTarget(server, session))
  const before = await memory(server)

  const lines: Line[] = []
  const failures = new Map<string, number>()
  const fail = (name: string): void => void failures.set(name, (failures.get(name) ?? 0) + 1)
  const startedAt = performance.now()
  let begun = 0
  async function open(): Promise<void> {
    while (begun < count) {
      const target = targets[begun % targets.length]
      begun += 1
      if (begun % 100 === 0) say(`${begun} of ${count} tunnels`)
      if (target === undefined) continue
      try {
        const line = await openLine(target, body)
        lines.push(line)
        await ask(line)
      } catch (error) {
        fail(error instanceof Error ? error.message : String(error))
      }
    }
  }
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, open))
  const openSeconds = (performance.now() - startedAt) / 1000
  const opened = lines.filter(({ open: isOpen }) => isOpen).length
  await pause(1_000)
  const after = await memory(server)

  say('revoking')
  const revokedAt = performance.now()
  const told = server.program.ask('revoke')
  while (lines.some(({ open: isOpen }) => isOpen) && performance.now() < revokedAt + PATIENCE_MILLISECONDS)
    await pause(2)
  const goneMilliseconds = Math.round(performance.now() - revokedAt)
  const left = lines.filter(({ open: isOpen }) => isOpen).length
  await told
  if (left > 0) failures.set('tunnels outlived their session', left)
  for (const target of targets) if (await isAdmitted(target)) fail('a revoked session got a new tunnel')
  const inflight = numberAt(await server.program.ask('status'), 'inflight')
  if (inflight > 0) failures.set('tunnels are still counted', inflight)

  const found = {
    tunnels: opened,
    descriptorsAllowed: allowed + DESCRIPTORS_SPARE,
    openSeconds: Math.round(openSeconds * 10) / 10,
    kilobytesPerTunnel: Math.round(((after - before) * 1024) / Math.max(1, opened)),
    goneMilliseconds,
    goneMaximumMilliseconds: REVOKED_MILLISECONDS,
    failures: Object.fromEntries(failures),
  }
  if (options.json) console.log(JSON.stringify(found, null, 2))
  else
    console.table({
      ...found,
      failures: [...failures].map(([name, times]) => `${name}: ${times}`).join('; ') || 'none',
    })
  await server.program.stop()
  await upstream.stop()
  return failures.size === 0 && opened === count && goneMilliseconds <= REVOKED_MILLISECONDS
}

function ask(line: Line): Promise<void> {
  return new Promise((done, fail) => {
    let bytes = 0
    line.send({
      data: (chunk) => void (bytes += chunk.length),
      end(failure) {
        const wrong = failure ?? (bytes === ANSWER.length ? null : 'wrong length')
        if (wrong === null) done()
        else fail(new Error(wrong))
      },
    })
  })
}

async function isAdmitted(target: Target): Promise<boolean> {
  return openLine(target, body).then(
    (line) => {
      line.close()
      return true
    },
    () => false,
  )
}

async function memory(server: KeywardServer): Promise<number> {
  await server.program.ask('collect')
  return residentMegabytes(server.program.processId).now
}

function descriptorsAllowed(processId: number): number {
  const limits = readFileSync(`/proc/${processId}/limits`, 'utf8')
  return Number(/Max open files\s+(\d+)/.exec(limits)?.[1] ?? 1_024)
}
