import { defineConfig } from 'vitest/config'

/** unit: beside the code, and what needs no process. e2e: real processes and sockets. attacks: the catalogue of attacks, row by row. load: many at once, and what fails while they run. clients: the vendors' own SDKs and agent programs. pack: the published tarball. */
const clients = 'test/e2e/clients/**/*.test.ts'
const e2e = 'test/e2e/**/*.test.ts'
const pack = 'test/pack.test.ts'
const attacks = 'test/attacks/**/*.test.ts'
const load = 'test/load/**/*.test.ts'

/**
 * Real processes share the machine with whatever else runs there: a test of theirs has failed when it fails
 * twice in a row. The unit suite has no second try, for a property that fails once has found something.
 */
const retry = 1

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      { extends: true, test: { name: 'unit', include: ['src/**/*.test.ts', 'test/**/*.test.ts'], exclude: [e2e, clients, pack, attacks, load, '**/node_modules/**'] } },
      { extends: true, test: { name: 'e2e', retry, include: [e2e], exclude: [clients, '**/node_modules/**'] } },
      { extends: true, test: { name: 'attacks', include: [attacks] } },
      { extends: true, test: { name: 'load', retry, include: [load], fileParallelism: false } },
      { extends: true, test: { name: 'clients', retry, include: [clients], fileParallelism: false } },
      { extends: true, test: { name: 'pack', retry, include: [pack] } },
    ],
  },
})
