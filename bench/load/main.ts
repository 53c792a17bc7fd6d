import { createInterface } from 'node:readline'
import { runClosed } from './closed-loop.ts'
import type { Job, Outcome } from './job.ts'
import { runOpen } from './open-loop.ts'
import { runStreams } from './streams.ts'

/** The load, a process of its own on its own core: takes one job a line, answers each with one line. It stays warm from job to job. */
function run(job: Job): Promise<Outcome> {
  if (job.kind === 'closed') return runClosed(job)
  return job.kind === 'open' ? runOpen(job) : runStreams(job)
}

for await (const line of createInterface(process.stdin)) {
  const answer = await run(JSON.parse(line)).catch((error: unknown) => ({
    failure: error instanceof Error ? error.message : String(error),
  }))
  console.log(JSON.stringify(answer))
}
