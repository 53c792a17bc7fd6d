// `npm start`: set up if need be, then serve with a sample ready.
import { join } from 'node:path'
import { root, runAndExit, setUp } from './setup.mjs'

const node = setUp('running')
runAndExit(node, [
  '--disable-warning=ExperimentalWarning',
  '--disable-sigusr1',
  join(root, 'src/cli/main.ts'),
  'up',
  '--sample',
  ...process.argv.slice(2),
])
