import type { Gauges } from './metrics.ts'

/** What watching needs, loaded where somebody watches, and not at every start; null: nobody does. */
export async function loadMonitoring(isWatched: boolean, gauges: Gauges) {
  if (!isWatched) return null
  const [{ createMetrics }, { listenMonitor }] = await Promise.all([
    import('./metrics.ts'),
    import('./monitor-server.ts'),
  ])
  return { metrics: createMetrics(gauges), listenMonitor }
}
