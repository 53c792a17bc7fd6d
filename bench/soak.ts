import { ANSWER, layGround, numberAt, startUpstream } from './ground.ts'
import { baseTarget, SMALL, startKeyward, tunnelTarget, type KeywardServer } from './keyward-peers.ts'
import { startLoad } from './load-process.ts'
import type { Options } from './options.ts'
import { pause, residentMegabytes } from './processes.ts'

/** Requests without growth: the base URL and CONNECT in turns at saturation, memory and descriptors looked at in between, at rest and after a garbage collection. */
const SAMPLES = 20
/** The first samples, in which pools fill and code is compiled. */
const WARM_UP_SAMPLES = 5
/** Long enough for idle connections to the service to be closed. */
const REST_MILLISECONDS = 6_000
/** By how much the trend of the samples after the warm-up may rise from first to last. */
const LIMITS = { heapMegabytes: 8, residentMegabytes: 16, descriptors: 16 } as const
const MEGABYTE = 1024 * 1024

type Sample = Record<keyof typeof LIMITS, number> & { readonly requests: number }

/** Gives whether nothing grew and nothing failed. */
export async function soak(options: Options, say: (text: string) => void): Promise<boolean> {
  const ground = await layGround()
  const upstream = await startUpstream(ground)
  const load = startLoad()
  const server = await startKeyward(ground, upstream, { size: SMALL, sessions: 1, callers: 1 })
  const [session] = server.sessions
  if (session === undefined) throw new Error('the home has no session')
  const doors = [baseTarget(server, session), tunnelTarget(server, session)]
  const seenBefore = await upstream.requests()
  const entriesBefore = numberAt(await server.program.ask('status'), 'journalEntries')
  const samples: Sample[] = []
  const failures = new Map<string, number>()
  let [sent, seconds] = [0, 0]
  for (let number = 0; number < SAMPLES; number += 1) {
    for (const target of doors) {
      say(`${sent} of ${options.requests} requests`)
      const outcome = await load.run({
        kind: 'closed',
        targets: [target],
        expected: { bodyBytes: ANSWER.length },
        concurrency: options.concurrency,
        seconds: 3_600,
        requestsMaximum: Math.ceil(options.requests / SAMPLES / doors.length),
      })
      sent += outcome.sent
      seconds += outcome.seconds
      for (const [name, count] of Object.entries(outcome.errors)) failures.set(name, (failures.get(name) ?? 0) + count)
    }
    await pause(REST_MILLISECONDS)
    samples.push(await sample(server, sent))
  }
  const seen = (await upstream.requests()) - seenBefore
  if (seen !== sent) failures.set('the upstream saw another number of requests', Math.abs(seen - sent))
  const entries = numberAt(await server.program.ask('status'), 'journalEntries') - entriesBefore
  if (entries !== 2 * sent) failures.set('journal entries too many or missing', Math.abs(entries - 2 * sent))
  const late = samples.slice(WARM_UP_SAMPLES)
  const trends = (['heapMegabytes', 'residentMegabytes', 'descriptors'] as const).map((name) => {
    const rise = riseOf(late.map((found) => found[name]))
    return {
      name,
      from: late[0]?.[name],
      to: late.at(-1)?.[name],
      rise,
      limit: LIMITS[name],
      flat: rise <= LIMITS[name],
    }
  })
  const flat = trends.every((trend) => trend.flat) && failures.size === 0
  if (options.json) {
    console.log(
      JSON.stringify({ sent, seconds, samples, trends, failures: Object.fromEntries(failures), flat }, null, 2),
    )
  } else {
    console.table(samples)
    console.table(trends)
    for (const [name, count] of failures) console.log(`Error: ${name}, ${count} times.`)
    console.log(`${sent} requests in ${Math.round(seconds)} s: ${flat ? 'flat' : 'growing, or failing'}.`)
  }
  await server.program.stop()
  await load.stop()
  await upstream.stop()
  return flat
}

async function sample(server: KeywardServer, requests: number): Promise<Sample> {
  // Twice: what the first collection finalises, the second frees.
  await server.program.ask('collect')
  const told = await server.program.ask('collect')
  return {
    requests,
    heapMegabytes: round(numberAt(told, 'heapUsed') / MEGABYTE),
    residentMegabytes: round(residentMegabytes(server.program.processId).now),
    descriptors: numberAt(told, 'descriptors'),
  }
}

/** How much the line of least squares through the values rises from the first to the last. */
function riseOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  let [above, below] = [0, 0]
  for (const [index, value] of values.entries()) {
    above += (index - middle) * (value - mean)
    below += (index - middle) ** 2
  }
  return round((above / below) * (values.length - 1))
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
