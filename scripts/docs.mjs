// `npm run docs`: writes anew the pages that are made from the code. Tests keep them equal.
import { join } from 'node:path'
import { root, runAndExit, setUp } from './setup.mjs'

runAndExit(setUp('testing'), ['--disable-warning=ExperimentalWarning', join(root, 'scripts/docs.ts')])
