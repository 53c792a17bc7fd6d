import { createTally, spreadOf, type Outcome, type StreamJob } from './job.ts'
import { linesFor, openLine, requestBody, type Line } from './line.ts'
import { createRandom } from './random.ts'
import { STREAM_EVENTS } from '../stream-schedule.ts'

const body = requestBody(true)
const SPREAD_MILLISECONDS = 1_000

/** Many streams of events at once: how soon the first event comes, and how evenly the others do. Each event says when it was sent. */
export async function runStreams(job: StreamJob): Promise<Outcome> {
  const target = job.targets[0]
  if (target === undefined) throw new Error('a load needs a target')
  const lines = await Promise.all(Array.from({ length: linesFor(target, job.streams) }, () => openLine(target, body)))
  const perLine = Math.ceil(job.streams / lines.length)
  const random = createRandom(job.seed)
  const errors = createTally()
  const firsts: number[] = []
  const delays: number[] = []
  const jitters: number[] = []
  let complete = 0
  const startedAt = performance.now()

  async function follow(line: Line, after: number): Promise<void> {
    await new Promise((done) => setTimeout(done, after))
    const askedAt = microseconds()
    let text = ''
    let count = 0
    let last: { sentAt: number; cameAt: number } | null = null
    const onEvent = (sentAt: number): void => {
      const cameAt = microseconds()
      if (count === 0) firsts.push((cameAt - askedAt) / 1000)
      count += 1
      delays.push((cameAt - sentAt) / 1000)
      if (last !== null) jitters.push(Math.abs(cameAt - last.cameAt - (sentAt - last.sentAt)) / 1000)
      last = { sentAt, cameAt }
    }
    await new Promise<void>((done) => {
      line.send({
        data(bytes) {
          text += bytes.toString('latin1')
          for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
            const sentAt = /"at":(\d+)/.exec(text.slice(0, end))?.[1]
            text = text.slice(end + 2)
            if (sentAt !== undefined) onEvent(Number(sentAt))
          }
        },
        end(failure) {
          const wrong = failure ?? (count === STREAM_EVENTS ? null : 'events are missing')
          if (wrong === null) complete += 1
          else errors.add(wrong)
          done()
        },
      })
    })
  }

  const places = lines.flatMap((line) => Array.from({ length: perLine }, () => line)).slice(0, job.streams)
  await Promise.all(places.map((line) => follow(line, random() * SPREAD_MILLISECONDS)))
  const seconds = (performance.now() - startedAt) / 1000
  for (const line of lines) line.close()
  return {
    sent: places.length,
    answered: complete,
    errors: errors.counts,
    seconds,
    latency: spreadOf(firsts),
    events: { count: delays.length, delay: spreadOf(delays), jitter: spreadOf(jitters) },
  }
}

function microseconds(): number {
  return Number(process.hrtime.bigint() / 1000n)
}
