import { ANSWER, layGround, startUpstream } from './ground.ts'
import { baseTarget, SMALL, startKeyward } from './keyward-peers.ts'
import { startLoad } from './load-process.ts'
import { median } from './measure.ts'
import type { Options } from './options.ts'
import { cpuMicroseconds, residentMegabytes } from './processes.ts'
import type { Size } from './servers/populate.ts'

/** What a request costs in a small home and in a large one, in turns within one run. Ten agents call in both. */
const LARGE: Size = { credentials: 10_000, agents: 10_000, grants: 100_000 }
const CALLERS = 10
const LARGEST_RATIO = 1.1

/** Gives whether the ratio is within its bound. */
export async function compareSizes(options: Options, say: (text: string) => void): Promise<boolean> {
  const ground = await layGround()
  const upstream = await startUpstream(ground)
  const load = startLoad()
  const homes = []
  for (const [name, size] of [
    ['small', SMALL],
    ['large', LARGE],
  ] as const) {
    say(`filling the ${name} home`)
    const before = performance.now()
    const server = await startKeyward(ground, upstream, { size, sessions: CALLERS, callers: CALLERS })
    const targets = server.sessions.map((session) => baseTarget(server, session))
    homes.push({ name, size, server, targets, costs: new Array<number>(), errors: 0, took: performance.now() - before })
  }
  for (let round = 0; round <= options.rounds; round += 1) {
    for (const home of homes) {
      say(round === 0 ? `warming up the ${home.name} home` : `round ${round}: ${home.name}`)
      const { processId } = home.server.program
      const before = cpuMicroseconds(processId)
      const outcome = await load.run({
        kind: 'closed',
        targets: home.targets,
        expected: { bodyBytes: ANSWER.length },
        concurrency: options.concurrency,
        seconds: options.seconds,
        requestsMaximum: null,
      })
      home.errors += outcome.sent - outcome.answered
      if (round > 0) home.costs.push((cpuMicroseconds(processId) - before) / Math.max(1, outcome.answered))
    }
  }
  const [small, large] = homes.map(({ costs }) => median(costs))
  const ratio = (large ?? Number.NaN) / (small ?? Number.NaN)
  const fits = ratio <= LARGEST_RATIO && homes.every(({ errors }) => errors === 0)
  const rows = homes.map(({ name, size, costs, errors, server, took }) => ({
    name,
    ...size,
    cpuMicrosecondsPerRequest: Math.round(median(costs)),
    lowest: Math.round(Math.min(...costs)),
    highest: Math.round(Math.max(...costs)),
    megabytes: Math.round(residentMegabytes(server.program.processId).now),
    secondsToFill: Math.round(took / 1000),
    errors,
  }))
  if (options.json) console.log(JSON.stringify({ ratio, largestRatio: LARGEST_RATIO, fits, rows }, null, 2))
  else {
    console.table(rows)
    console.log(
      `A request in the large home costs ${ratio.toFixed(2)} times that in the small one (at most ${LARGEST_RATIO}).`,
    )
  }
  for (const { server } of homes) await server.program.stop()
  await load.stop()
  await upstream.stop()
  return fits
}
