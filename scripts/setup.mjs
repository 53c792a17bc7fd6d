// Brings what a clone needs into the checkout, on any Node from 18 up: the locked packages, and with
// them Node 24 from npm where the machine's own is older. Plain JavaScript without dependencies,
// because it runs before there are any.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
// Not `npm ci`: it refuses a lockfile in which the optional binaries of other systems are missing, as
// happens where a registry does not carry them all. `install` takes every locked version and its hash
// as they are, and `--no-save` leaves the lockfile alone.
const INSTALL = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
const nodeFolder = join(root, 'scripts', 'node')
const stampFolder = join(root, 'node_modules', '.keyward-setup')

/** `running`: what `npm start` needs. `testing`: also the checks. */
export function setUp(purpose) {
  const lock = readFileSync(join(root, 'package-lock.json'))
  const wanted = createHash('sha256').update(lock).digest('hex')
  const done = readStamp()
  const enough = done !== null && done.lock === wanted && (done.purpose === 'testing' || done.purpose === purpose)
  if (!enough) {
    say(
      purpose === 'running'
        ? 'Installing what Keyward needs (once, about a minute) …'
        : 'Installing what the tests need (once) …',
    )
    npm(purpose === 'running' ? [...INSTALL, '--omit=dev'] : INSTALL, root)
    mkdirSync(stampFolder, { recursive: true })
    writeFileSync(join(stampFolder, 'stamp.json'), JSON.stringify({ lock: wanted, purpose }))
  }
  if (!isNewEnough(process.versions.node)) setUpFolder(nodeFolder)
  return nodeBinary()
}

/** Installs a package folder of the tests, with its own lockfile, once. */
export function setUpFolder(folder) {
  const lock = readFileSync(join(folder, 'package-lock.json'))
  const wanted = createHash('sha256').update(lock).digest('hex')
  const stamp = join(folder, 'node_modules', '.keyward-stamp')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  npm(INSTALL, folder)
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, wanted)
}

/** A Node of at least 24: the machine's own, or the one that came with the packages. */
export function nodeBinary() {
  if (isNewEnough(process.versions.node)) return process.execPath
  const local = join(nodeFolder, 'node_modules', '.bin', 'node')
  if (existsSync(local)) {
    try {
      const version = execFileSync(local, ['-p', 'process.versions.node'], { encoding: 'utf8' })
      if (isNewEnough(version)) return local
    } catch {
      // Falls through to the remedy: a binary for another system is as good as none.
    }
  }
  say(
    'Keyward runs on Node 24. None came from npm for this system: install it (for example `brew install node@24`) and try again.',
  )
  process.exit(1)
}

function isNewEnough(version) {
  return Number(version.split('.')[0]) >= 24
}

/** Runs a command with Node 24 first on the PATH and ends this process with its code. */
export function runAndExit(command, args, options = {}) {
  process.exitCode = run(command, args, options)
}

export function run(command, args, options = {}) {
  const path = `${dirname(nodeBinary())}:${join(root, 'node_modules', '.bin')}:${process.env.PATH ?? ''}`
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    ...options,
    env: { ...process.env, PATH: path, ...options.env },
  })
  if (result.error) throw result.error
  return result.status ?? 1
}

function npm(args, cwd) {
  const result = spawnSync('npm', args, {
    cwd,
    stdio: ['ignore', 'inherit', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, NODE_ENV: '' },
  })
  if (result.status === 0) return
  process.stderr.write(result.stderr ?? '')
  say('npm could not install the packages. Check that npm reaches its registry, then run the command again.')
  process.exit(1)
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(join(stampFolder, 'stamp.json'), 'utf8'))
  } catch {
    return null
  }
}

export function say(text) {
  process.stderr.write(`${text}\n`)
}
