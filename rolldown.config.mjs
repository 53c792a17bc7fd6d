import { globSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { defineConfig } from 'rolldown'

/** Files that other programs load (the preload of Node children, the probe of `doctor`) lie beside the bundle as they are. */
const beside = {
  name: 'beside',
  generateBundle() {
    for (const path of globSync('src/**/*.cjs', { exclude: ['src/**/trial/**'] })) {
      this.emitFile({ type: 'asset', fileName: basename(path), source: readFileSync(path) })
    }
  },
}

/** One bundle with the command and the journal's worker beside it; dependencies stay outside, as npm installs them. */
export default defineConfig({
  input: {
    main: 'src/cli/main.ts',
    'journal-worker': 'src/journal/worker.ts',
    'doctor-inside': 'src/cli/doctor/inside/main.ts',
  },
  platform: 'node',
  plugins: [beside],
  external: (id) => !id.startsWith('.') && !id.startsWith('/') && !id.endsWith('.ts'),
  output: { dir: 'dist', format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js', cleanDir: true },
})
