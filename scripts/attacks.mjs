// `npm run attacks`: set up if need be, then the catalogue of attacks, row by row, and its table.
//   npm run attacks -- [--only R1,R2] [--json] [--write] [--no-color]
import { join } from 'node:path'
import { root, runAndExit, setUp } from './setup.mjs'

runAndExit(setUp('testing'), [
  '--disable-warning=ExperimentalWarning',
  join(root, 'scripts/attacks.ts'),
  ...process.argv.slice(2),
])
