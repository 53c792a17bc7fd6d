import { randomInt } from 'node:crypto'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { escaped } from '../attacks/corpus/draft.ts'
import { attempt, targets } from './targets.ts'

/**
 * `npm run fuzz`: tries random inputs against the parsers until one is read wrongly, or for `--seconds N`.
 * `--seed S` draws the same inputs again, `--target NAME` tries one target alone, `--index I` one input.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string' },
    seed: { type: 'string' },
    target: { type: 'string' },
    index: { type: 'string' },
  },
})
const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed)
const chosen = targets.filter(({ name }) => values.target === undefined || name === values.target)
if (chosen.length === 0 || !Number.isSafeInteger(seed)) {
  console.error(`There are the targets ${targets.map(({ name }) => name).join(', ')}, and a seed is a whole number.`)
  process.exit(2)
}
const until = values.seconds === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(values.seconds) * 1000
const SAY_MILLISECONDS = 10_000

let saidAt = Date.now()
const first = Number(values.index ?? 0)
console.log(`seed ${seed}`)
for (let index = first; values.index === undefined ? Date.now() < until : index === first; index++) {
  for (const target of chosen) {
    const violation = await attempt(target, seed, index)
    if (violation === null) continue
    console.error(
      `${target.name}: ${violation.what}\n  bytes: '${escaped(violation.bytes)}'\n  again: npm run fuzz -- --target ${target.name} --seed ${seed} --index ${index}`,
    )
    process.exit(1)
  }
  if (Date.now() - saidAt < SAY_MILLISECONDS) continue
  saidAt = Date.now()
  console.log(`${index + 1} inputs for each of ${chosen.map(({ name }) => name).join(', ')}`)
}
console.log('nothing found')
