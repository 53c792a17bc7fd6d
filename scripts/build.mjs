// Makes dist/ for the published package. Runs before `npm pack` and `npm publish`.
import { run, setUp } from './setup.mjs'

setUp('testing')
process.exitCode = run('rolldown', ['-c', 'rolldown.config.mjs'])
