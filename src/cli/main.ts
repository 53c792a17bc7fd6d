import process from 'node:process'
import { runCommandLine } from './command-line.ts'

// A reader that has seen enough (`| head`) closes the pipe; that is no failure, and a server goes on without it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

process.exitCode = await runCommandLine(process.argv.slice(2), {
  environment: process.env,
  workingDirectory: process.cwd(),
  entry: process.argv[1] ?? '',
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
})

/** What a failed start left open must not keep a process that is done; answers and output still get out. */
const LINGER_MILLISECONDS = 2_000
setTimeout(() => process.exit(), LINGER_MILLISECONDS).unref()
