// `npm run bench`: set up if need be, then the gateway beside its peers.
import { join } from 'node:path'
import { root, runAndExit, setUp, setUpFolder } from './setup.mjs'

const node = setUp('testing')
setUpFolder(join(root, 'bench/peers'))
runAndExit(node, ['--disable-warning=ExperimentalWarning', join(root, 'bench/main.ts'), ...process.argv.slice(2)])
