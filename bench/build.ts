import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { rolldown } from 'rolldown'

const root = join(import.meta.dirname, '..')
const entry = join(import.meta.dirname, 'servers/keyward.ts')

/**
 * Bundles the gateway that is measured as the published package is bundled (rolldown.config.mjs): started
 * from source, Node's own stripping of types would count as start-up time and memory. Gives the path of the file to run.
 */
export async function buildKeyward(folder: string): Promise<string> {
  const bundle = await rolldown({
    input: { keyward: entry, 'journal-worker': join(root, 'src/journal/worker.ts') },
    platform: 'node',
    external: (id) => !id.startsWith('.') && !id.startsWith('/') && !id.endsWith('.ts'),
  })
  await bundle.write({ dir: folder, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' })
  await bundle.close()
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return join(folder, 'keyward.js')
}
