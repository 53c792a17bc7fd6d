// `npm run fuzz`: set up if need be, then random inputs against the parsers until one is read wrongly.
//   npm run fuzz -- --seconds 60 --seed 1 --target codec
import { join } from 'node:path'
import { root, runAndExit, setUp } from './setup.mjs'

runAndExit(setUp('testing'), [
  '--disable-warning=ExperimentalWarning',
  join(root, 'test/fuzz/main.ts'),
  ...process.argv.slice(2),
])
