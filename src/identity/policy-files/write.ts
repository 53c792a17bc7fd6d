import { stringify } from 'yaml'
import type { Present } from './present.ts'

const head = '# Written by `keyward export`. Values of credentials are not in it.\n'
/** What is written between two pauses. */
const DOCUMENTS_AT_ONCE = 50

/** The documents as `apply` reads them, each once. The same documents give the same bytes. Lets others work in between. */
export async function writeDocuments(documents: readonly Present[], pause: () => Promise<unknown>): Promise<string> {
  const texts = new Set<string>()
  for (const [index, { kind, said }] of documents.entries()) {
    if (index % DOCUMENTS_AT_ONCE === DOCUMENTS_AT_ONCE - 1) await pause()
    texts.add(`---\n${stringify({ kind, ...said }, { lineWidth: 0, aliasDuplicateObjects: false })}`)
  }
  return `${head}${[...texts].join('')}`
}
