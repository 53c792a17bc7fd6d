import { defineConfig } from 'vitest/config'

/** unit: beside the code, and what needs no process. e2e: real processes and sockets. clients: the vendors' own SDKs and agent programs. pack: the published tarball. */
const clients = 'test/e2e/clients/**/*.test.ts'
const e2e = 'test/e2e/**/*.test.ts'
const pack = 'test/pack.test.ts'

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    // Real processes on a machine that is busy with others: a test that fails twice in a row has failed. The
    // reporter names what was tried again, and a property that failed once prints its seed.
    retry: 1,
    projects: [
      { extends: true, test: { name: 'unit', include: ['src/**/*.test.ts', 'test/**/*.test.ts'], exclude: [e2e, clients, pack, '**/node_modules/**'] } },
      { extends: true, test: { name: 'e2e', include: [e2e], exclude: [clients, '**/node_modules/**'] } },
      { extends: true, test: { name: 'clients', include: [clients], fileParallelism: false } },
      { extends: true, test: { name: 'pack', include: [pack] } },
    ],
  },
})
