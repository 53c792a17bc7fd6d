import { readFileSync } from 'node:fs'
import type { SessionBinding } from '../core/records.ts'

/** What stands for "not known" where the platform does not tell when a process began. */
export const unknownStartTicks = '0'

/**
 * When the process began, in clock ticks since the machine did: with the id it names one process for
 * good, because ids are used again. `0` where the platform does not say (only Linux does, in field 22
 * of /proc/PID/stat, see proc_pid_stat(5)); null if there is no such process.
 */
export function startTicksOf(processId: number): string | null {
  const stat = readStat(processId)
  if (stat !== null) return stat.ended ? null : stat.startTicks
  return answersSignals(processId) ? unknownStartTicks : null
}

/** Whether the process that a session is bound to still runs. An unbound session has none, and lives until it expires. */
export function isProcessAlive(binding: SessionBinding): boolean {
  if (binding.kind === 'unbound') return true
  const startTicks = startTicksOf(binding.processId)
  if (startTicks === null) return false
  return (
    startTicks === binding.startTicks || startTicks === unknownStartTicks || binding.startTicks === unknownStartTicks
  )
}

function readStat(processId: number): { ended: boolean; startTicks: string } | null {
  let text: string
  try {
    text = readFileSync(`/proc/${processId}/stat`, 'latin1')
  } catch {
    return null
  }
  // The name of the program stands in parentheses and may itself hold some.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state] = fields
  const startTicks = fields[19]
  if (state === undefined || startTicks === undefined) return null
  return { ended: state === 'Z' || state === 'X', startTicks }
}

/** Signal 0 asks without sending; a process of somebody else's answers EPERM, which is an answer. */
function answersSignals(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
