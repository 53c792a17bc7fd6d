import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

/** The published package: packed, installed into an empty folder under Node 24, and used there. */

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'keyward-pack-'))
const path = `${dirname(process.execPath)}:${process.env['PATH']}`
const environment = {
  PATH: path,
  HOME: join(folder, 'home'),
  KEYWARD_HOME: join(folder, 'kw'),
  KEYWARD_GATEWAY: '127.0.0.1:0',
  NO_COLOR: '1',
}
const installed = join(folder, 'node_modules/keyward')

beforeAll(() => {
  execFileSync(process.execPath, [join(root, 'node_modules/rolldown/bin/cli.mjs'), '-c', 'rolldown.config.mjs'], {
    cwd: root,
    stdio: 'ignore',
    env: { ...process.env, PATH: path },
  })
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], {
    cwd: root,
    stdio: 'ignore',
    env: { ...process.env, PATH: path },
  })
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? ''
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true }))
  execFileSync(
    'npm',
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', join(folder, tarball)],
    { cwd: folder, stdio: 'ignore', env: { ...process.env, PATH: path } },
  )
}, 180_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function keyward(args: readonly string[], input = ''): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(join(folder, 'node_modules/.bin/keyward'), args, {
    cwd: folder,
    env: environment,
    input,
    encoding: 'utf8',
    timeout: 60_000,
  })
}

test('the package holds the bundle and the documents, and no source, test or Node', () => {
  const names = readdirSync(installed, { recursive: true, encoding: 'utf8' })
  expect(names).toContain('dist/main.js')
  expect(names).toContain('dist/journal-worker.js')
  expect(names).toContain('LICENSE')
  expect(
    names.filter((name) => name.startsWith('src/') || name.startsWith('test/') || name.endsWith('.test.ts')),
  ).toEqual([])
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  expect(manifest.optionalDependencies).toBeUndefined()
  expect(Object.keys(manifest.scripts ?? {}).filter((name) => /install/.test(name))).toEqual([])
})

test('it runs: help, a credential, a contained child that holds a placeholder, and a journal that verifies', () => {
  expect(keyward(['--help']).stdout).toContain('run')
  const secret = `packed-${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`
  writeFileSync(
    join(folder, 'echo.yaml'),
    'id: echo\nname: Echo\nhosts: [echo.example.test]\ninject: { kind: bearer }\nvariables: { key: ECHO_API_KEY }\n',
  )
  writeFileSync(
    join(folder, 'steps.sh'),
    [
      'set -e',
      'keyward service add echo.yaml',
      'keyward credential add echo --service echo --from-file key.txt',
      'keyward agent add worker',
      "keyward grant add --agent worker --credential echo --allow '*'",
      'keyward run --agent worker -- sh -c \'echo "holds=$ECHO_API_KEY"\'',
      'keyward journal verify',
    ].join('\n'),
  )
  writeFileSync(join(folder, 'key.txt'), secret, { mode: 0o600 })
  const server = spawnSync(
    'sh',
    [
      '-c',
      'keyward up >up.log 2>&1 & up=$!; for i in 1 2 3 4 5 6 7 8 9 10; do keyward status >/dev/null 2>&1 && break; sleep 0.3; done; sh steps.sh; code=$?; kill $up; wait $up; exit $code',
    ],
    {
      cwd: folder,
      env: { ...environment, PATH: `${join(folder, 'node_modules/.bin')}:${path}` },
      encoding: 'utf8',
      timeout: 90_000,
    },
  )
  expect(server.stderr + server.stdout, server.stderr).toMatch(/holds=kwp/)
  expect(server.stdout + server.stderr).not.toContain(secret)
  expect(server.status).toBe(0)
})

test('on an older Node it says in one line what is missing', () => {
  const old = ['/usr/local/bin/node', '/usr/bin/node'].find((candidate) => {
    const result = spawnSync(candidate, ['-p', 'process.versions.node.split(".")[0]'], { encoding: 'utf8' })
    return result.status === 0 && Number(result.stdout) >= 18 && Number(result.stdout) < 24
  })
  if (old === undefined) {
    console.log('skipped: no Node between 18 and 23 on this machine')
    return
  }
  const result = spawnSync(old, [join(installed, 'bin/keyward.cjs'), 'status'], {
    env: { ...environment, PATH: '/usr/bin:/bin' },
    encoding: 'utf8',
  })
  expect(result.status).not.toBe(0)
  expect(result.stderr.trim().split('\n').length).toBeLessThanOrEqual(2)
  expect(result.stderr).toMatch(/Node 24/)
})

test('the sources of the package run where a bundler is not: nothing outside its own folder is needed', () => {
  const alone = mkdtempSync(join(tmpdir(), 'keyward-alone-'))
  cpSync(folder, alone, { recursive: true, filter: (source) => !source.endsWith('.tgz') && !source.includes('/kw/') })
  const result = spawnSync(join(alone, 'node_modules/.bin/keyward'), ['--version'], {
    env: environment,
    encoding: 'utf8',
  })
  rmSync(alone, { recursive: true, force: true })
  expect(result.stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/)
})
