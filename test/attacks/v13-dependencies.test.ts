import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { attack, inside } from './attack.ts'

/** V13: what comes from a registry is what was locked, and does nothing by being installed. */

const root = join(import.meta.dirname, '../..')

interface Locked {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly dev?: boolean
  readonly link?: boolean
  readonly hasInstallScript?: boolean
  readonly optional?: boolean
  readonly os?: readonly string[]
}

interface Manifest {
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly scripts?: Readonly<Record<string, string>>
}

const manifestAt = (path: string): Manifest => JSON.parse(readFileSync(path, 'utf8'))

/** Every folder of the checkout that brings packages along, `node_modules` aside. */
const folders = ['', 'bench/peers', 'scripts/node', 'test/clients']

const lockedIn = (folder: string): [path: string, locked: Locked][] => {
  const lock: { lockfileVersion: number; packages: Record<string, Locked> } = JSON.parse(
    readFileSync(join(root, folder, 'package-lock.json'), 'utf8'),
  )
  expect(lock.lockfileVersion).toBeGreaterThanOrEqual(3)
  return Object.entries(lock.packages).filter(([path]) => path !== '')
}

attack('V13', 'every lockfile is known here', inside, () => {
  const found = ['', 'bench', 'docs', 'scripts', 'src', 'test']
    .flatMap((folder) => readdirSync(join(root, folder), { withFileTypes: true }).map((entry) => ({ folder, entry })))
    .flatMap(({ folder, entry }) => (entry.isDirectory() ? [join(folder, entry.name)] : []))
    .filter((folder) => !folder.includes('node_modules') && existsSync(join(root, folder, 'package.json')))
  expect(found.toSorted()).toEqual(folders.filter((folder) => folder !== '').toSorted())
})

attack('V13', 'every locked package has a version and a hash', inside, () => {
  for (const folder of folders) {
    const locked = lockedIn(folder)
    expect(locked.length).toBeGreaterThan(0)
    for (const [path, { version, integrity, link, optional, os }] of locked) {
      expect(link, path).toBeUndefined()
      expect(version, path).toMatch(/^\d+\.\d+\.\d+(?:[-+][\w.-]+)?$/)
      // Agent programs that the tests drive come as binaries for many systems, and some were not to be had
      // when the lock was made. They never run with Keyward's own rights or keys.
      const unseen = folder === 'test/clients' && optional === true && os !== undefined && integrity === undefined
      if (!unseen) expect(integrity, path).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/)
    }
  }
})

attack('V13', 'what is asked for is one exact version each, and the one that is locked', inside, () => {
  for (const folder of folders) {
    const {
      dependencies = {},
      devDependencies = {},
      optionalDependencies = {},
    } = manifestAt(join(root, folder, 'package.json'))
    const locked = new Map(lockedIn(folder))
    for (const [name, range] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
      expect(range, `${folder} ${name}`).toMatch(/^\d+\.\d+\.\d+(?:-[\w.]+)?$/)
      expect(locked.get(`node_modules/${name}`)?.version, `${folder} ${name}`).toBe(range)
    }
  }
})

attack('V13', 'no package that Keyward runs with has a script that installing it would start', inside, () => {
  const running = lockedIn('').filter(([, { dev }]) => dev !== true)
  expect(running.length).toBeGreaterThan(Object.keys(manifestAt(join(root, 'package.json')).dependencies ?? {}).length)
  let looked = 0
  for (const [path, { version, hasInstallScript }] of running) {
    expect(hasInstallScript, path).toBeUndefined()
    const file = join(root, path, 'package.json')
    if (!existsSync(file)) continue
    looked += 1
    const { scripts = {}, version: installed } = manifestAt(file)
    expect(installed, path).toBe(version)
    for (const name of ['preinstall', 'install', 'postinstall'])
      expect(scripts[name], `${path} ${name}`).toBeUndefined()
    // npm starts node-gyp for a package with this file, though it names no script.
    expect(existsSync(join(root, path, 'binding.gyp')), path).toBe(false)
  }
  expect(looked).toBeGreaterThan(10)
})

attack('V13', 'setting up starts no script and takes nothing but the lock', inside, () => {
  const setUp = readFileSync(join(root, 'scripts/setup.mjs'), 'utf8')
  const installs = [...setUp.matchAll(/const INSTALL = \[([^\]]*)\]/g)].map(([, list]) => list)
  expect(installs).toHaveLength(1)
  for (const flag of ['--ignore-scripts', '--no-save']) expect(installs[0]).toContain(flag)
  // The one way to npm, and each of its uses passes the flags.
  expect([...setUp.matchAll(/spawnSync\('npm'/g)]).toHaveLength(1)
  for (const [, argument] of setUp.matchAll(/(?<!function )\bnpm\(([^)]*)\)/g)) expect(argument).toContain('INSTALL')
  const own = manifestAt(join(root, 'package.json')).scripts ?? {}
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare']) expect(own[name], name).toBeUndefined()
})

attack('V13', 'what Keyward runs with is few and named', inside, () => {
  expect(Object.keys(manifestAt(join(root, 'package.json')).dependencies ?? {}).toSorted()).toEqual([
    '@clack/prompts',
    '@hono/node-server',
    '@marcbachmann/cel-js',
    '@opentelemetry/api',
    'age-encryption',
    'commander',
    'graphql',
    'hono',
    'jose',
    'pg',
    'pino',
    'prom-client',
    'tldts',
    'undici',
    'yaml',
    'zod',
  ])
})
