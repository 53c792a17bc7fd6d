// `npm test`: set up if need be, then every check, each one named, the first failure last on the screen.
//   npm test -- --only types,lint,unit,e2e,attacks,load,clients,pack
import { join } from 'node:path'
import { root, run, say, setUp, setUpFolder } from './setup.mjs'

const node = setUp('testing')
const only = process.argv.includes('--only')
  ? (process.argv[process.argv.indexOf('--only') + 1] ?? '').split(',')
  : null
const wanted = (name) => only === null || only.includes(name)

const vitest = (...args) => run(node, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...args])
const steps = [
  ['types', () => run('tsc', ['--noEmit'])],
  ['lint', () => run('oxlint', ['--deny-warnings'])],
  ['unit', () => vitest('--project', 'unit')],
  ['e2e', () => vitest('--project', 'e2e')],
  ['attacks', () => run(node, ['--disable-warning=ExperimentalWarning', join(root, 'scripts/attacks.ts')])],
  ['load', () => vitest('--project', 'load')],
  ['clients', () => (setUpFolder(join(root, 'test/clients')), vitest('--project', 'clients'))],
  ['pack', () => vitest('--project', 'pack')],
]

const failed = []
let passed = 0
for (const [name, step] of steps) {
  if (!wanted(name)) continue
  const startedAt = Date.now()
  say(`\n== ${name}`)
  if (step() === 0) passed += 1
  else failed.push(name)
  say(`== ${name}: ${failed.includes(name) ? 'failed' : 'passed'} in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`)
}
if (failed.length > 0) say(`\nFailed: ${failed.join(', ')}`)
// Steps, each of them a whole suite: its own counts stand above.
console.log(`${passed} passed, ${failed.length} failed`)
process.exitCode = failed.length > 0 || passed === 0 ? 1 : 0
