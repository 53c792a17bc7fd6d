import { conditionsOf } from './conditions.ts'
import { comparePeers } from './gateway.ts'
import { compareSizes } from './scale.ts'
import { soak } from './soak.ts'
import { holdTunnels } from './tunnels.ts'
import { readOptions, USAGE, type Mode } from './options.ts'
import { jsonOf, markdownOf, tablesOf } from './report.ts'

/** `npm run bench`: see `options.ts` for what it takes. */
const { mode, options } = readOptions(process.argv.slice(2))
const say = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text} …`)
}

function clear(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[2K')
}

async function compare(): Promise<void> {
  const found = await comparePeers(options, say)
  clear()
  const versions = new Set(found.rows.map(({ peer }) => `${peer.name.split(',')[0]} ${peer.version}`.trim()))
  versions.delete('direct')
  const conditions = conditionsOf(options, found.upstream, [...versions])
  const told = Object.entries(conditions).map(([name, value]) => `${name}: ${value}`)
  if (options.json) console.log(jsonOf(found, conditions))
  else if (options.markdown) console.log(`${markdownOf(found, options)}\n\n${told.join(' · ')}`)
  else console.log(`${told.join('\n')}\n\n${tablesOf(found, options)}`)
}

/** Nothing that failed ends with 0. */
const modes: Record<Mode, () => Promise<boolean>> = {
  peers: () => compare().then(() => true),
  scale: () => compareSizes(options, say),
  soak: () => soak(options, say),
  tunnels: () => holdTunnels(options, say),
  help: async () => {
    console.log(USAGE)
    return true
  },
}
process.exit((await modes[mode]()) ? 0 : 1)
