import { readFileSync } from 'node:fs'
import type { SessionBinding } from '../core/records.ts'

/** What stands for "not known" where the platform does not tell when a process began. */
export const unknownStartTicks = '0'

/** Fields of /proc/PID/stat (proc_pid_stat(5)). */
export interface ProcessStat {
  /** Of the program, at most 15 bytes, chosen by the program. */
  readonly name: string
  readonly ended: boolean
  readonly parent: number
  readonly startTicks: string
}

/**
 * When the process began, in clock ticks since the machine did: with the id it names one process for
 * good, because ids are used again. `0` where the platform does not say (only Linux does, in field 22
 * of /proc/PID/stat, see proc_pid_stat(5)); null if there is no such process.
 */
export function startTicksOf(processId: number): string | null {
  const stat = readStat('/proc', processId)
  if (stat !== null) return stat.ended ? null : stat.startTicks
  return answersSignals(processId) ? unknownStartTicks : null
}

/** Whether a session is bound to a process of another node than `node` (null: of a store that is not shared). */
export function isElsewhere(binding: SessionBinding, node: string | null): boolean {
  return binding.kind === 'process' && (binding.node ?? null) !== node
}

/** Whether the process that a session is bound to still runs. A session that is bound to none lives until it expires. */
export function isProcessAlive(binding: SessionBinding): boolean {
  return binding.kind !== 'process' || isSameProcess(binding, startTicksOf(binding.processId))
}

/** Whether what began at `startTicks` (null: nothing runs) is the process that the binding names. */
export function isSameProcess(binding: { readonly startTicks: string }, startTicks: string | null): boolean {
  if (startTicks === null) return false
  return (
    startTicks === binding.startTicks || startTicks === unknownStartTicks || binding.startTicks === unknownStartTicks
  )
}

/** `proc` is where the kernel's process files are mounted. Null if there is no such process, or nobody may look. */
export function readStat(proc: string, processId: number): ProcessStat | null {
  let text: string
  try {
    text = readFileSync(`${proc}/${processId}/stat`, 'latin1')
  } catch {
    return null
  }
  // The name of the program stands in parentheses and may itself hold some.
  const end = text.lastIndexOf(')')
  const fields = text.slice(end + 2).split(' ')
  const [state, parent] = fields
  const startTicks = fields[19]
  if (state === undefined || parent === undefined || startTicks === undefined) return null
  const name = text.slice(text.indexOf('(') + 1, end)
  return { name, ended: state === 'Z' || state === 'X', parent: Number(parent), startTicks }
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
