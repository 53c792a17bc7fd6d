import process from 'node:process'
import { planContainment } from '../../containment/plan.ts'
import type { ContainmentMode } from '../../containment/plan.ts'
import { examine } from '../doctor/examine.ts'
import { showReport } from '../doctor/show.ts'
import type { Call, EnvironmentOption, JsonOption } from '../io.ts'
import { printJson } from '../print.ts'

interface DoctorOptions extends EnvironmentOption, JsonOption {
  readonly contain?: ContainmentMode
}

const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** Proves the promises on this machine; 1 where one is broken. A signal ends it after it has cleaned up. */
export async function doctor(call: Call<DoctorOptions>, plan = planContainment): Promise<number> {
  const { io, options } = call
  const abort = new AbortController()
  let interrupted: number | null = null
  const handlers = Object.entries(signals).map(([name, code]) => {
    const handler = (): void => {
      interrupted ??= code
      abort.abort()
    }
    process.on(name, handler)
    return () => process.off(name, handler)
  })
  try {
    const report = await examine({
      io,
      environment: options.env,
      mode: options.contain ?? null,
      signal: abort.signal,
      plan,
    })
    if (options.json === true) printJson(io, report)
    else showReport(io, report)
    return report.ok ? 0 : 1
  } catch (error) {
    if (interrupted !== null) return interrupted
    throw error
  } finally {
    for (const stop of handlers) stop()
  }
}
