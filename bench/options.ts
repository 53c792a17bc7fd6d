import { parseArgs } from 'node:util'

/** `npm run bench -- …` */
export const USAGE = `npm run bench -- [options]
  --rounds N        rounds of everything (5); figures are medians, with the lowest and highest round
  --seconds N       of each measurement (3)
  --only NAME,…     only peers whose name contains one of these; the ways without a proxy are always there;
                    ratios need the floors (undici)
  --rates N,…       requests a second of the open loop (100,200,500,1000)
  --concurrency N   callers of the closed loop (64)
  --streams N       streams of events at once (50)
  --seed N          of arrivals (1)
  --quick           one round of one second at 200 a second
  --json            the figures as JSON instead of tables
  --markdown        the tables of the README
  --scale           instead: what a request costs with 10 agents and with 10,000
  --soak [--requests N]    instead: a million requests, and whether memory grows
  --tunnels N       instead: as many open tunnels, and how soon they end when their sessions are revoked`

export interface Options {
  readonly rounds: number
  readonly seconds: number
  readonly only: readonly string[]
  readonly rates: readonly number[]
  readonly concurrency: number
  readonly streams: number
  readonly seed: number
  readonly json: boolean
  readonly markdown: boolean
  readonly requests: number
  readonly tunnels: number
}

export type Mode = 'peers' | 'scale' | 'soak' | 'tunnels' | 'help'

export function readOptions(args: readonly string[]): { mode: Mode; options: Options } {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: text,
      seconds: text,
      only: text,
      rates: text,
      concurrency: text,
      streams: text,
      seed: text,
      requests: text,
      tunnels: text,
      quick: flag,
      json: flag,
      markdown: flag,
      scale: flag,
      soak: flag,
      help: flag,
    },
  })
  const list = (value: string | undefined): string[] => (value === undefined ? [] : value.split(',').filter(Boolean))
  const rates = list(values.rates).map((value) => numberOf('rates', value))
  const count = (
    name: 'rounds' | 'seconds' | 'concurrency' | 'streams' | 'seed' | 'requests' | 'tunnels',
    usual: number,
  ) => (values[name] === undefined ? usual : numberOf(name, values[name]))
  return {
    mode: values.help ? 'help' : values.scale ? 'scale' : values.soak ? 'soak' : values.tunnels ? 'tunnels' : 'peers',
    options: {
      rounds: count('rounds', values.quick ? 1 : 5),
      seconds: count('seconds', values.quick ? 1 : 3),
      only: list(values.only),
      rates: rates.length > 0 ? rates : values.quick ? [200] : [100, 200, 500, 1000],
      concurrency: count('concurrency', 64),
      streams: count('streams', values.quick ? 20 : 50),
      seed: count('seed', 1),
      json: values.json,
      markdown: values.markdown,
      requests: count('requests', 1_000_000),
      tunnels: count('tunnels', 5_000),
    },
  }
}

function numberOf(name: string, value: string): number {
  const number = Number(value)
  if (!Number.isFinite(number) || number <= 0) throw new Error(`--${name} takes numbers above 0\n${USAGE}`)
  return number
}
