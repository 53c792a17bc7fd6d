#!/usr/bin/env node
'use strict'
// Must parse on Node 18, so that an old Node gets a sentence and not a syntax error.
const { spawn } = require('node:child_process')
const { existsSync } = require('node:fs')
const { join } = require('node:path')
const { pathToFileURL } = require('node:url')

/** What a server needs of its variables. Keys that lie around in the others stay out of its memory and of /proc. */
const kept =
  /^(KEYWARD_.*|LC_.*|LANG|TZ|PATH|HOME|USER|LOGNAME|SHELL|TERM|COLORTERM|NO_COLOR|TMPDIR|XDG_RUNTIME_DIR|SSL_CERT_FILE|SSL_CERT_DIR)$/

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  process.stderr.write('keyward: needs Node 24 or newer; this is Node ' + process.versions.node + '.\n')
  process.exitCode = 125
} else {
  const source = join(__dirname, '..', 'src', 'cli', 'main.ts')
  const entry = existsSync(source) ? source : join(__dirname, '..', 'dist', 'main.js')
  if (process.argv[2] === 'up' && !process.execArgv.includes('--disable-sigusr1')) startAgain()
  else import(pathToFileURL(entry).href)
}

// A server holds secrets, so nobody may open its inspector: not by a signal, a flag or a variable.
function startAgain() {
  const env = {}
  for (const name of Object.keys(process.env)) if (kept.test(name)) env[name] = process.env[name]
  const args = ['--disable-sigusr1', '--disable-warning=ExperimentalWarning', __filename, ...process.argv.slice(2)]
  // Node cannot set the limit itself: a core file would hold every secret that was in memory.
  const shell = ['/bin/sh', '-c', 'ulimit -c 0; exec "$0" "$@"', process.execPath, ...args]
  if (typeof process.execve === 'function' && process.platform !== 'win32') {
    return process.execve(shell[0], shell, env)
  }
  const child = spawn(shell[0], shell.slice(1), { stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code) => {
    process.exitCode = code === null ? 1 : code
  })
}
