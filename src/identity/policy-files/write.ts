import { stringify } from 'yaml'
import type { Present } from './present.ts'

const head = '# Written by `keyward export`. Values of credentials are not in it.\n'

/** The documents as `apply` reads them, each once. The same documents give the same bytes. */
export function writeDocuments(documents: readonly Present[]): string {
  const texts = documents.map(({ kind, said }) =>
    stringify({ kind, ...said }, { lineWidth: 0, aliasDuplicateObjects: false }),
  )
  return `${head}${[...new Set(texts)].map((text) => `---\n${text}`).join('')}`
}
