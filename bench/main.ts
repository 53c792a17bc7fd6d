import { conditionsOf } from './conditions.ts'
import { comparePeers } from './gateway.ts'
import { readOptions, USAGE } from './options.ts'
import { jsonOf, markdownOf, tablesOf } from './report.ts'

/** `npm run bench`: see `options.ts` for what it takes. */
const { mode, options } = readOptions(process.argv.slice(2))
const say = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text} …`)
}

if (mode === 'help') {
  console.log(USAGE)
} else {
  const found = await comparePeers(options, say)
  const versions = [...new Set(found.rows.map(({ peer }) => `${peer.name.split(',')[0]} ${peer.version}`.trim()))]
  const conditions = conditionsOf(
    options,
    found.upstream,
    versions.filter((text) => !text.startsWith('direct')),
  )
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[2K')
  if (options.json) {
    console.log(jsonOf(found, conditions))
  } else {
    const told = Object.entries(conditions).map(([name, value]) => `${name}: ${value}`)
    console.log(
      options.markdown
        ? `${markdownOf(found, options)}\n\n${told.join(' · ')}`
        : `${told.join('\n')}\n\n${tablesOf(found, options)}`,
    )
  }
}
process.exit(0)
