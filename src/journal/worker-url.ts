/**
 * Where the code of the journal's worker lies. From source it is `worker.ts` in this folder. In a build
 * it is `journal-worker.js` in the same folder as the file into which this module was bundled: the build
 * must therefore have `src/journal/worker.ts` as an entry of that name and keep its output folder flat.
 */
export function workerUrl(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './journal-worker.js', import.meta.url)
}
