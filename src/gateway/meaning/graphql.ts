import { createHash } from 'node:crypto'
import {
  Kind,
  Lexer,
  parse,
  Source,
  TokenKind,
  type Token,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql/language'
import { CALL_NAME_MAXIMUM_LENGTH, type Calls } from '../../core/call-pattern.ts'
import { membersOf, parseStrictJson, readStrictJson, strictText } from '../../core/strict-json.ts'
import { isFault, Tally, tooManyCalls, type Fault } from './tally.ts'

/** Characters of all documents of one request together. */
export const DOCUMENTS_MAXIMUM_LENGTH = 64 * 1024
/** Tokens of one document: names, punctuation, values. */
export const DOCUMENT_TOKENS_MAXIMUM_COUNT = 10_000
/** Braces, brackets and parentheses within each other. */
export const DOCUMENT_MAXIMUM_DEPTH = 64

/** One document and which of its operations is asked for. */
interface Asked {
  readonly text: string
  readonly operationName: string | null
}

/** Members of a request (GraphQL over HTTP, section 5.1), in a body and in a query. */
const MEMBERS: ReadonlySet<string> = new Set(['query', 'operationName', 'variables', 'extensions'])

/** The calls of a body: JSON with one request or a list of them, or (`text`) a document alone. */
export function callsOfGraphqlBody(bytes: Uint8Array, form: 'json' | 'text'): Calls | Fault {
  const asked = form === 'text' ? askedInText(bytes) : askedInJson(bytes)
  return isFault(asked) ? asked : callsOf(asked)
}

/** The calls of a query (`?query=…`). A mutation there must be refused: GraphQL over HTTP, section 5.2. */
export function callsOfGraphqlQuery(parameters: readonly (readonly [string, string])[]): Calls | Fault | 'mutation' {
  const members = new Map<string, unknown>(parameters)
  if (members.size < parameters.length) return { fault: 'A parameter stands twice.' }
  for (const name of ['variables', 'extensions']) {
    const text = members.get(name)
    if (typeof text !== 'string') continue
    const json = text === '' ? { value: null } : parseStrictJson(text)
    if (isFault(json)) return { fault: `The parameter ${name} cannot be read. ${json.fault}` }
    members.set(name, json.value)
  }
  const asked = askedInMembers(members)
  const calls = isFault(asked) ? asked : callsOf([asked])
  if (isFault(calls)) return calls
  return [...calls.made.keys()].some((call) => call.startsWith('GRAPHQL mutation ')) ? 'mutation' : calls
}

function askedInText(bytes: Uint8Array): readonly Asked[] | Fault {
  const text = strictText(bytes)
  return text === null ? { fault: 'It is not UTF-8 without a byte order mark.' } : [{ text, operationName: null }]
}

function askedInJson(bytes: Uint8Array): readonly Asked[] | Fault {
  const json = readStrictJson(bytes)
  if (isFault(json)) return json
  const requests: readonly unknown[] = Array.isArray(json.value) ? json.value : [json.value]
  if (requests.length === 0) return { fault: 'The list of requests is empty.' }
  const found: Asked[] = []
  for (const request of requests) {
    const members = membersOf(request)
    const asked = members === null ? { fault: 'A request is no object.' } : askedInMembers(members)
    if (isFault(asked)) return asked
    found.push(asked)
  }
  return found
}

function askedInMembers(members: ReadonlyMap<string, unknown>): Asked | Fault {
  // Whatever else stands there may be what the service acts on: a stored document, another list of requests.
  if (![...members.keys()].every((name) => MEMBERS.has(name)))
    return { fault: 'There is more than query, operationName, variables and extensions.' }
  const text = members.get('query')
  if (text === undefined || text === null || text === '')
    return { fault: 'There is no text of a query; a stored one cannot be judged.' }
  if (typeof text !== 'string') return { fault: 'The query is no text.' }
  const operationName = members.get('operationName') ?? ''
  if (typeof operationName !== 'string') return { fault: 'The operationName is no text.' }
  for (const name of ['variables', 'extensions']) {
    const value = members.get(name) ?? null
    if (value !== null && membersOf(value) === null) return { fault: `What ${name} holds is no object.` }
  }
  return storedFault(members.get('extensions'), text) ?? { text, operationName: operationName || null }
}

/** A hash beside the text must be the hash of this text: a service may take the one that it has stored instead. */
function storedFault(extensions: unknown, text: string): Fault | null {
  const named = [...(membersOf(extensions) ?? [])].filter(([name]) => /persisted|document|hash/i.test(name))
  if (named.length === 0) return null
  const [only] = named
  const hash = named.length > 1 || only?.[0] !== 'persistedQuery' ? undefined : membersOf(only[1])?.get('sha256Hash')
  const own = createHash('sha256').update(text).digest('hex')
  return hash === own ? null : { fault: 'The hash beside the query is not that of its text.' }
}

function callsOf(asked: readonly Asked[]): Calls | Fault {
  // Whoever reads these is in the way of every other request.
  if (asked.reduce((sum, { text }) => sum + text.length, 0) > DOCUMENTS_MAXIMUM_LENGTH) return tooLarge
  const tally = new Tally()
  for (const one of asked) {
    const fault = addCalls(one, tally)
    if (fault !== null) return fault
  }
  return tally
}

/** Adds what this document asks for. Whatever a directive would leave out counts: only the service knows the schema. */
function addCalls({ text, operationName }: Asked, tally: Tally): Fault | null {
  const chosen = operationIn(text, operationName)
  if (isFault(chosen)) return chosen
  const { operation, fragments } = chosen
  const roots = fieldsWithin(operation.selectionSet, fragments, false)
  const all = fieldsWithin(operation.selectionSet, fragments, true)
  if (isFault(roots)) return roots
  if (isFault(all)) return all
  if (roots.length === 0) return { fault: 'The operation asks for nothing.' }
  for (const field of roots) if (!tally.make(`GRAPHQL ${operation.operation} ${field}`)) return tooManyCalls
  for (const field of all) tally.touch(`GRAPHQL field ${field}`)
  return null
}

type Fragments = ReadonlyMap<string, FragmentDefinitionNode>

function operationIn(
  text: string,
  operationName: string | null,
): { readonly operation: OperationDefinitionNode; readonly fragments: Fragments } | Fault {
  const fault = textFault(text)
  if (fault !== null) return fault
  const operations: OperationDefinitionNode[] = []
  const fragments = new Map<string, FragmentDefinitionNode>()
  try {
    for (const definition of parse(text, { noLocation: true }).definitions) {
      if (definition.kind === Kind.OPERATION_DEFINITION) operations.push(definition)
      else if (definition.kind !== Kind.FRAGMENT_DEFINITION)
        return { fault: 'The document defines more than operations.' }
      else if (fragments.has(definition.name.value)) return { fault: 'A fragment is defined twice.' }
      else fragments.set(definition.name.value, definition)
    }
  } catch {
    return { fault: 'The document is not GraphQL.' }
  }
  const names = operations.map((operation) => operation.name?.value ?? null)
  if (new Set(names).size < names.length) return { fault: 'Two operations have the same name.' }
  if (names.length > 1 && names.includes(null)) return { fault: 'An operation without a name stands beside others.' }
  const fitting = operationName === null ? operations : operations.filter(({ name }) => name?.value === operationName)
  const [operation] = fitting
  if (operation === undefined || fitting.length > 1) return { fault: 'It is not said which operation is meant.' }
  return { operation, fragments }
}

/**
 * Names of fields, as often as they are written: those of the outermost level, or (`deep`) of every level.
 * Fragments are followed, each once.
 */
function fieldsWithin(outermost: SelectionSetNode, fragments: Fragments, deep: boolean): readonly string[] | Fault {
  const found: string[] = []
  const followed = new Set<string>()
  const open: SelectionSetNode[] = [outermost]
  for (let set = open.pop(); set !== undefined; set = open.pop()) {
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) {
        if (selection.name.value.length > CALL_NAME_MAXIMUM_LENGTH) return { fault: 'The name of a field is too long.' }
        found.push(selection.name.value)
        if (deep && selection.selectionSet !== undefined) open.push(selection.selectionSet)
      } else if (selection.kind === Kind.INLINE_FRAGMENT) open.push(selection.selectionSet)
      else {
        const fragment = fragments.get(selection.name.value)
        if (fragment === undefined) return { fault: 'A fragment is not defined.' }
        if (!followed.has(selection.name.value)) open.push(fragment.selectionSet)
        followed.add(selection.name.value)
      }
    }
  }
  return found
}

/**
 * What some lexer reads in another way: a carriage return alone, and what Unicode or an early draft counts among
 * line ends, end a comment for one and not for the other; a run of quotes of another length than one, two, three
 * or six ends a text here or later.
 */
// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const AMBIGUOUS = /[\x00-\x08\v\f\x0e-\x1f\x7f\x85\u2028\u2029\uFEFF]|\r(?!\n)|(?<!")(?:"{4,5}|"{7,})(?!")/
const tooLarge: Fault = { fault: 'The document is too large to be judged.' }
const ambiguous: Fault = { fault: 'The document can be read in more than one way.' }

/** Why a document is not read further: what it costs to read must be bounded before it is. */
function textFault(text: string): Fault | null {
  if (AMBIGUOUS.test(text)) return ambiguous
  const lexer = new Lexer(new Source(text))
  let depth = 0
  try {
    for (let count = 1; lexer.advance().kind !== TokenKind.EOF; count++) {
      const { token } = lexer
      if (isAmbiguous(token, text)) return ambiguous
      depth += OPENING.has(token.kind) ? 1 : CLOSING.has(token.kind) ? -1 : 0
      if (depth > DOCUMENT_MAXIMUM_DEPTH || count > DOCUMENT_TOKENS_MAXIMUM_COUNT) return tooLarge
    }
  } catch {
    return { fault: 'The document is not GraphQL.' }
  }
  return isAmbiguous(lexer.token, text) ? ambiguous : null
}

const OPENING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L])
const CLOSING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R])

/**
 * What reads the same only to who knows comments, block texts and escapes: some readers first look for texts over
 * several lines by counting quotes (graphql-ruby, `escape_single_quoted_newlines`), and lose count at a quote in a
 * comment or a block text, at a text that ends with a backslash, and where two texts touch. From there on they
 * take line ends for text, and with them the end of a comment.
 */
function isAmbiguous(token: Token, text: string): boolean {
  for (let comment = token.prev; comment?.kind === TokenKind.COMMENT; comment = comment.prev)
    if (comment.value.includes('"')) return true
  if (!QUOTED.has(token.kind)) return false
  const { prev } = token
  if (prev !== null && QUOTED.has(prev.kind) && prev.end === token.start) return true
  const isBlock = token.kind === TokenKind.BLOCK_STRING
  return isBlock ? /["\\]/.test(text.slice(token.start + 3, token.end - 3)) : text.charAt(token.end - 2) === '\\'
}

const QUOTED: ReadonlySet<TokenKind> = new Set([TokenKind.STRING, TokenKind.BLOCK_STRING])
