import { defineConfig } from 'rolldown'

/** One bundle with the command and the journal's worker beside it; dependencies stay outside, as npm installs them. */
export default defineConfig({
  input: { main: 'src/cli/main.ts', 'journal-worker': 'src/journal/worker.ts' },
  platform: 'node',
  external: (id) => !id.startsWith('.') && !id.startsWith('/') && !/^[A-Za-z]:/.test(id) && !id.endsWith('.ts'),
  output: { dir: 'dist', format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js', cleanDir: true },
})
