import { parentPort, workerData } from 'node:worker_threads'

/**
 * Wakes its parent at each arrival of a schedule. Node's own timers are a millisecond coarse, which is more
 * than what is measured; a thread that sleeps in the kernel is exact to some 60 microseconds and costs nothing.
 * `workerData`: { startAt: microseconds of the monotonic clock, arrivals: milliseconds after it }.
 */
if (parentPort === null) throw new Error('the metronome is a worker')
const port = parentPort
const { startAt, arrivals }: { startAt: number; arrivals: Float64Array } = workerData
const sleeper = new Int32Array(new SharedArrayBuffer(4))
const now = (): number => Number(process.hrtime.bigint() / 1000n)

for (let next = 0; next < arrivals.length;) {
  const wait = startAt + (arrivals[next] ?? 0) * 1000 - now()
  if (wait > 0) Atomics.wait(sleeper, 0, 0, wait / 1000)
  const elapsed = (now() - startAt) / 1000
  const before = next
  while (next < arrivals.length && (arrivals[next] ?? 0) <= elapsed) next += 1
  if (next > before) port.postMessage(next)
}
