import { join } from 'node:path'
import type { Job, Outcome } from './load/job.ts'
import { LOAD_CORE, startNode } from './processes.ts'

/** The generator, on its own core, warm from job to job. */
export interface Load {
  run(job: Job): Promise<Outcome>
  stop(): Promise<void>
}

export function startLoad(): Load {
  const program = startNode(LOAD_CORE, join(import.meta.dirname, 'load/main.ts'), [])
  return {
    async run(job) {
      const told: Outcome | { failure: string } = JSON.parse(JSON.stringify(await program.ask(JSON.stringify(job))))
      if ('failure' in told) throw new Error(told.failure)
      return told
    },
    stop: program.stop,
  }
}
