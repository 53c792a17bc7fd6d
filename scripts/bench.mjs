// `npm run bench`: set up if need be, then the gateway beside its peers.
import { join } from 'node:path'
import { root, runAndExit, setUp } from './setup.mjs'

runAndExit(setUp('testing'), [
  '--disable-warning=ExperimentalWarning',
  join(root, 'bench/gateway.ts'),
  ...process.argv.slice(2),
])
