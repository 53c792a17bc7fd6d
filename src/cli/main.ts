import process from 'node:process'
import { runCommandLine } from './command-line.ts'

process.exitCode = await runCommandLine(process.argv.slice(2), {
  environment: process.env,
  workingDirectory: process.cwd(),
  entry: process.argv[1] ?? '',
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
})
