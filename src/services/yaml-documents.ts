import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, visit } from 'yaml'
import type { Document } from 'yaml'

/** A place in a text and what is wrong there. The message never repeats a value. */
export interface YamlProblem {
  readonly line: number
  readonly column: number
  readonly message: string
}

export interface YamlDocument {
  /** What it says, as plain data; undefined where the document has problems. */
  readonly value: unknown
  /** Every text in it, names included. */
  readonly texts: readonly { readonly text: string; readonly line: number; readonly column: number }[]
  /** Where the innermost part of `path` stands that the document has. */
  placeOf(path: readonly PropertyKey[]): { readonly line: number; readonly column: number }
}

/**
 * The documents of a text, each with the line on which it begins. Three hyphens at the start of a line
 * begin one, whatever stands around them (YAML 1.2, 9.1.2), so a long text can be read in pieces.
 */
export function splitYamlDocuments(text: string): { readonly text: string; readonly line: number }[] {
  let line = 1
  return text.split(/(?<=\n)(?=---(?:[ \t\r\n]|$))/).map((piece) => {
    const begins = line
    line += piece.split('\n').length - 1
    return { text: piece, line: begins }
  })
}

/**
 * Reads the strict subset of YAML 1.2 in which operators write: plain data, each name once, no
 * anchors, aliases, merge keys or tags of one's own. Documents that are empty are left out. Tells of
 * every problem, not only of the first. `firstLine` is where the text begins in its file.
 */
export function readYamlDocuments(
  text: string,
  firstLine = 1,
): {
  readonly documents: readonly YamlDocument[]
  readonly problems: readonly YamlProblem[]
} {
  const lines = new LineCounter()
  const place = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line) + firstLine - 1, column: Math.max(1, col) }
  }
  let parsed: readonly Document[]
  try {
    const read = parseAllDocuments(text, { lineCounter: lines, strict: true, uniqueKeys: true, stringKeys: true })
    parsed = 'empty' in read ? [] : read
  } catch {
    return { documents: [], problems: [{ line: firstLine, column: 1, message: 'it is nested too deeply' }] }
  }
  const problems: YamlProblem[] = []
  const documents: YamlDocument[] = []
  for (const document of parsed) {
    const found = faultsOf(document).map(({ offset, message }) => ({ ...place(offset), message }))
    problems.push(...found)
    if (found.length === 0 && (document.contents === null || isEmpty(document.contents))) continue
    documents.push({
      value: found.length > 0 ? undefined : document.toJS({ maxAliasCount: 0 }),
      texts: textsOf(document).map(({ text: one, offset }) => ({ text: one, ...place(offset) })),
      placeOf: (path) => place(offsetOf(document, path)),
    })
  }
  return { documents, problems }
}

function isEmpty(contents: unknown): boolean {
  return isScalar(contents) && contents.value === null && contents.source === ''
}

function faultsOf(document: Document): { offset: number; message: string }[] {
  const faults = [...document.errors, ...document.warnings].map(({ pos, message, code }) => ({
    offset: pos[0],
    message: code === 'DUPLICATE_KEY' ? 'a name stands twice' : toldOf(message),
  }))
  visit(document, {
    Alias: (_, node) => void faults.push({ offset: node.range?.[0] ?? 0, message: 'aliases are not allowed' }),
    Node: (_, node) => {
      if (!isAlias(node) && node.anchor !== undefined)
        faults.push({ offset: node.range?.[0] ?? 0, message: 'anchors are not allowed' })
    },
    Pair: (_, { key }) => {
      if (isScalar(key) && key.value === '<<')
        faults.push({ offset: key.range?.[0] ?? 0, message: 'merge keys are not allowed' })
    },
  })
  return faults
}

/** The parser's sentence without the place, which is told apart, and without what it quotes of the text. */
function toldOf(message: string): string {
  const [first = ''] = message.split('\n')
  const told = first.replace(/ at line \d+, column \d+:?$/, '').replace(/"[^"]*"|'[^']*'|: \S.*$/g, '…')
  return `${told.charAt(0).toLowerCase()}${told.slice(1)}`.replace(/\.$/, '')
}

function textsOf(document: Document): { text: string; offset: number }[] {
  const texts: { text: string; offset: number }[] = []
  visit(document, {
    Scalar: (_, node) => {
      if (typeof node.value === 'string') texts.push({ text: node.value, offset: node.range?.[0] ?? 0 })
    },
  })
  return texts
}

function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents
  let offset = startOf(node) ?? 0
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step))
      if (pair === undefined) {
        // `inject` may be one rule instead of a list of them.
        if (typeof step === 'number') continue
        break
      }
      offset = startOf(pair.key) ?? offset
      node = pair.value
    } else {
      const inner: unknown = isSeq(node) ? node.get(Number(step), true) : undefined
      if (inner === undefined) break
      node = inner
      offset = startOf(node) ?? offset
    }
  }
  return offset
}

function startOf(node: unknown): number | null {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range)) return null
  const start: unknown = node.range[0]
  return typeof start === 'number' ? start : null
}
