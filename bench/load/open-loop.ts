import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { createTally, spreadOf, type OpenJob, type Outcome, type Target } from './job.ts'
import { openLine, requestBody, type Line } from './line.ts'
import { poissonArrivals } from './random.ts'

const body = requestBody(false)
/** Connections that stand ready; more are opened when all are busy. */
const LINES_READY = 32
const LINES_MAXIMUM = 1_024
/** Between the schedule's making and its first arrival. */
const LEAD_MILLISECONDS = 50
/** How long answers may take after the last request has left. */
const PATIENCE_MILLISECONDS = 10_000

/**
 * Requests leave when a seeded Poisson process says so, and each is timed from that moment: a proxy that
 * stalls is charged for everything that would have been asked in the meantime (no coordinated omission).
 */
export async function runOpen(job: OpenJob): Promise<Outcome> {
  const target = job.targets[0]
  if (target === undefined) throw new Error('a load needs a target')
  const arrivals = poissonArrivals(job.perSecond, job.seconds, job.seed)
  const errors = createTally()
  const latencies: number[] = []
  const lateness: number[] = []
  const lines = await createLines(target, (wrong) => errors.add(wrong))
  const startAt = microseconds() + LEAD_MILLISECONDS * 1000
  const since = (arrival: number): number => (microseconds() - startAt) / 1000 - arrival
  let answers = 0
  let allAnswered = (): void => undefined

  function ask(arrival: number): void {
    lateness.push(since(arrival))
    lines.use((line, release) => {
      let bytes = 0
      line.send({
        data: (chunk) => void (bytes += chunk.length),
        end(failure) {
          const wrong = failure ?? (bytes === job.expected.bodyBytes ? null : 'wrong length')
          if (wrong === null) latencies.push(since(arrival))
          else errors.add(wrong)
          release()
          answers += 1
          if (answers === arrivals.length) allAnswered()
        },
      })
    })
  }

  const metronome = new Worker(join(import.meta.dirname, 'metronome.ts'), { workerData: { startAt, arrivals } })
  let sent = 0
  metronome.on('message', (due: number) => {
    while (sent < due) ask(arrivals[sent++] ?? 0)
  })
  await new Promise<void>((done, fail) => {
    const timer = setTimeout(done, LEAD_MILLISECONDS + job.seconds * 1000 + PATIENCE_MILLISECONDS)
    allAnswered = () => {
      clearTimeout(timer)
      done()
    }
    metronome.once('error', fail)
  })
  await metronome.terminate()
  for (let missing = answers; missing < arrivals.length; missing += 1) errors.add('no answer in time')
  const seconds = (microseconds() - startAt) / 1_000_000
  lines.close()
  return {
    sent,
    answered: latencies.length,
    errors: { ...errors.counts },
    seconds,
    latency: spreadOf(latencies),
    lateness: spreadOf(lateness),
  }
}

function microseconds(): number {
  return Number(process.hrtime.bigint() / 1000n)
}

/** Hands out lines; who finds none free waits for the first that is, and its clock runs on. */
async function createLines(target: Target, onFailure: (wrong: string) => void) {
  const all = new Set<Line>()
  const free: Line[] = []
  const waiting: ((line: Line, release: () => void) => void)[] = []
  let opening = 0

  function give(line: Line): void {
    const next = waiting.shift()
    if (next === undefined) free.push(line)
    else next(line, () => take(line))
  }
  function take(line: Line): void {
    if (line.open) return give(line)
    all.delete(line)
    if (waiting.length > 0) void grow()
  }
  async function grow(): Promise<void> {
    opening += 1
    try {
      const line = await openLine(target, body)
      all.add(line)
      for (let place = 0; place < line.capacity; place += 1) give(line)
    } catch {
      onFailure('no connection')
    }
    opening -= 1
  }

  const ready = target.protocol === 'http2' ? 4 : LINES_READY
  await Promise.all(Array.from({ length: ready }, grow))
  return {
    use(work: (line: Line, release: () => void) => void): void {
      let line = free.pop()
      while (line !== undefined && !line.open) {
        all.delete(line)
        line = free.pop()
      }
      if (line !== undefined) {
        const taken = line
        return work(taken, () => take(taken))
      }
      waiting.push(work)
      if (all.size + opening < LINES_MAXIMUM && opening < waiting.length) void grow()
    },
    close(): void {
      for (const line of all) line.close()
    },
  }
}
