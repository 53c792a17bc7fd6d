import { createTally, spreadOf, type ClosedJob, type Outcome } from './job.ts'
import { linesFor, openLine, requestBody, type Line } from './line.ts'

const body = requestBody(false)

/** The load at saturation: every caller asks again as soon as it has its answer. Says how much passes, not how long one waits. */
export async function runClosed(job: ClosedJob): Promise<Outcome> {
  const [first] = job.targets
  if (first === undefined) throw new Error('a load needs a target')
  const lines = await Promise.all(
    Array.from({ length: linesFor(first, job.concurrency) }, (_, index) =>
      openLine(job.targets[index % job.targets.length] ?? first, body),
    ),
  )
  const latencies: number[] = []
  const errors = createTally()
  let sent = 0
  const startedAt = performance.now()
  const endAt = startedAt + job.seconds * 1000

  function call(line: Line): Promise<boolean> {
    return new Promise((done) => {
      const sentAt = performance.now()
      let bytes = 0
      sent += 1
      line.send({
        data: (chunk) => void (bytes += chunk.length),
        end(failure) {
          const wrong = failure ?? (bytes === job.expected.bodyBytes ? null : 'wrong length')
          if (wrong === null) latencies.push(performance.now() - sentAt)
          else errors.add(wrong)
          done(line.open)
        },
      })
    })
  }
  const more = (): boolean => performance.now() < endAt && (job.requestsMaximum === null || sent < job.requestsMaximum)
  async function drive(line: Line): Promise<void> {
    while (more() && (await call(line)));
  }

  const perLine = Math.ceil(job.concurrency / lines.length)
  await Promise.all(lines.flatMap((line) => Array.from({ length: perLine }, () => drive(line))))
  const seconds = (performance.now() - startedAt) / 1000
  for (const line of lines) line.close()
  return { sent, answered: latencies.length, errors: errors.counts, seconds, latency: spreadOf(latencies) }
}
