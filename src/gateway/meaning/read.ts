import { tableOf } from '../../core/rule-set.ts'
import type { CallLanguage, Calls } from '../../core/call-pattern.ts'
import { parseOperationPattern } from '../../core/operation-pattern.ts'
import { createPathIndex, viewPath, type PathIndex } from '../../core/path-index.ts'
import { headerValues, pathOf, type RequestHead } from '../../core/request.ts'
import { scrubText } from '../../core/scrub.ts'
import { preparedRule } from '../../injectors/placement.ts'
import type { Service, Speech } from '../../services/service.ts'
import type { Arrival } from '../arrival.ts'
import type { RequestBody } from '../body.ts'
import type { Located } from '../locate.ts'
import type { NeedleSource } from '../needle-source.ts'
import { isRefusal, type Refusal } from '../refusal.ts'
import { WEBSOCKET } from '../websocket/handshake.ts'
import { callsOfAws, isAwsForm } from './aws.ts'
import { callsOfRpcBody, rpcParametersFault } from './json-rpc.ts'
import { parametersOf } from './parameters.ts'
import { isFault, type Fault } from './tally.ts'
import type { WholeBodies } from '../whole-body.ts'

/** Characters of the names of the calls of one request: all of them go into the journal. */
export const RECORDED_CALLS_CHARACTERS = 16_384

/** What the body of a request asks for, and how the journal names it. */
export interface Meaning {
  readonly calls: Calls
  readonly written: string
}

export interface MeaningPorts {
  readonly wholeBodies: WholeBodies
  readonly needles: NeedleSource
}

/**
 * Reads what a request asks for where its service says that the body tells (`speaks`), before anything is
 * decided. The bytes that were read are the bytes that are sent. `gone`: the agent went away.
 */
export async function readMeaning(
  arrival: Arrival,
  place: Located,
  body: RequestBody,
  ports: MeaningPorts,
): Promise<Located | Refusal | 'gone'> {
  const { head, service } = place
  const language = languageAt(service, head)
  if (language === null) return place
  if (arrival.upgrade === WEBSOCKET)
    return { refusal: 'upgrade_refused', detail: 'What is said in a WebSocket is not judged, and here it must be.' }
  const parameters = ownParameters(place)
  if (isFault(parameters)) return unreadable(parameters)
  if (language === 'aws') return readAction(place, parameters, body, ports)
  if (head.method !== 'POST') {
    if (body.length !== 0) return unreadable({ fault: 'Only a POST has a body here.' })
    const calls = await callsOfQuery(language, head.method, parameters)
    if (calls === null) return place
    if (isRefusal(calls)) return calls
    return isFault(calls) ? unreadable(calls) : withCalls(place, calls, ports)
  }
  const beside = language === 'json-rpc' ? rpcParametersFault(parameters) : parameters.length === 0 ? null : aParameter
  if (beside !== null) return unreadable(beside)
  const written = formOf(head, language)
  if (isFault(written)) return unreadable(written)
  const whole = place.body ?? (await ports.wholeBodies.read(body, place.caller.sessionId))
  if (whole === 'gone' || isRefusal(whole)) return whole
  let isTaken = false
  try {
    const calls =
      language === 'json-rpc' ? callsOfRpcBody(whole.bytes) : await callsOfGraphql(whole.bytes, written.form)
    const read = isFault(calls) ? unreadable(calls) : withCalls({ ...place, body: whole }, calls, ports)
    isTaken = !isRefusal(read)
    return read
  } finally {
    // Also where reading it failed in a way that nobody expected: its room would be lost for good.
    if (!isTaken) whole.leave()
  }
}

/** An action of AWS is in the head, or in a form, which is read whole; other bodies are not looked at. */
async function readAction(
  place: Located,
  parameters: readonly (readonly [string, string])[],
  body: RequestBody,
  ports: MeaningPorts,
): Promise<Located | Refusal | 'gone'> {
  const { head } = place
  const isCompressed = headerValues(head.headers, 'content-encoding').some((one) => one.trim() !== 'identity')
  if (isAwsForm(head) && isCompressed) return unreadable({ fault: 'The body is compressed.' })
  const wanted = place.body === null && body.length !== 0 && (isAwsForm(head) || !isDeclared(head))
  const whole = wanted ? await ports.wholeBodies.read(body, place.caller.sessionId) : place.body
  if (whole === 'gone' || (whole !== null && isRefusal(whole))) return whole
  let isTaken = false
  try {
    const bytes = whole?.bytes ?? (body.length === 0 ? new Uint8Array(0) : null)
    const calls = callsOfAws(head, parameters, bytes)
    const read = isFault(calls) ? unreadable(calls) : withCalls({ ...place, body: whole }, calls, ports)
    isTaken = !isRefusal(read)
    return read
  } finally {
    if (!isTaken && wanted) whole?.leave()
  }
}

function isDeclared(head: RequestHead): boolean {
  return headerValues(head.headers, 'content-type').length > 0
}

const aParameter: Fault = { fault: 'A query beside the body may change what is asked for.' }

function unreadable({ fault }: Fault): Refusal {
  return { refusal: 'operation_unreadable', detail: fault }
}

interface Speeches {
  readonly index: PathIndex
  readonly languages: readonly CallLanguage[]
}

const indexed = new WeakMap<readonly Speech[], Speeches>()

/** What is spoken at this path, in whatever spelling a deny would be read. */
function languageAt({ speaks = [] }: Service, head: RequestHead): CallLanguage | null {
  let known = indexed.get(speaks)
  if (known === undefined) {
    const patterns = speaks.map(({ path }) => parseOperationPattern(`* ${path}`))
    const paths = patterns.map((pattern) => (pattern.kind === 'path' ? pattern : null))
    known = { index: createPathIndex(paths, 'wide'), languages: speaks.map(({ language }) => language) }
    indexed.set(speaks, known)
  }
  const view = viewPath(head.method, pathOf(head.target), 'wide')
  return view === null ? null : (known.languages[known.index.find(view)] ?? null)
}

/** The parameters of the target without the place of the credential. */
function ownParameters({ head, rule }: Located): readonly (readonly [string, string])[] | Fault {
  const { place } = preparedRule(rule)
  const parameters = parametersOf(head.target)
  return isFault(parameters) || place.in !== 'query' ? parameters : parameters.filter(([name]) => name !== place.name)
}

/** Null: the request asks for no call, and is judged by its method and path like any other. */
async function callsOfQuery(
  language: Exclude<CallLanguage, 'aws'>,
  method: string,
  parameters: readonly (readonly [string, string])[],
): Promise<Calls | Fault | Refusal | null> {
  if (language === 'json-rpc') return rpcParametersFault(parameters)
  if (method !== 'GET' && method !== 'HEAD')
    return { refusal: 'method_refused', detail: 'GraphQL is asked by POST or GET.' }
  if (parameters.length === 0) return null
  const { callsOfGraphqlQuery } = await import('./graphql.ts')
  const calls = callsOfGraphqlQuery(parameters)
  return calls === 'mutation' ? { refusal: 'method_refused', detail: 'A GET changes nothing: send it by POST.' } : calls
}

/** Loaded when it is first needed: most homes hold no service that speaks it. */
async function callsOfGraphql(bytes: Uint8Array, form: 'json' | 'text'): Promise<Calls | Fault> {
  const { callsOfGraphqlBody } = await import('./graphql.ts')
  return callsOfGraphqlBody(bytes, form)
}

const TYPE = /^\s*application\/(json|graphql|json-rpc)\s*(?:;\s*charset\s*=\s*(?:utf-8|"utf-8")\s*)?;?\s*$/i

function formOf(head: RequestHead, language: CallLanguage): { readonly form: 'json' | 'text' } | Fault {
  const codings = headerValues(head.headers, 'content-encoding')
  if (codings.some((coding) => coding.trim().toLowerCase() !== 'identity')) return { fault: 'The body is compressed.' }
  const type = TYPE.exec(headerValues(head.headers, 'content-type')[0] ?? '')?.[1]?.toLowerCase()
  if (type === 'json' || (type === 'json-rpc' && language === 'json-rpc')) return { form: 'json' }
  if (type === 'graphql' && language === 'graphql') return { form: 'text' }
  return { fault: 'The body is not declared as JSON in UTF-8.' }
}

/** What could not be written down in full is not done: whoever asks decides on the order, and so on what would be left out. */
function withCalls(place: Located, calls: Calls, ports: MeaningPorts): Located | Refusal {
  const written = writtenCalls(place, calls, ports)
  if (written.length > RECORDED_CALLS_CHARACTERS)
    return unreadable({ fault: 'It asks for more than the journal can name.' })
  return { ...place, meaning: { calls, written } }
}

/** The names of the calls, or themselves where they have none. Neither placeholders nor secrets are written down. */
function writtenCalls({ service, presented }: Located, { made }: Calls, { needles }: MeaningPorts): string {
  const { nameOfCall } = tableOf(service.operations)
  const names = new Set<string>()
  for (const call of made.keys()) names.add(nameOfCall(call, 'exact') ?? call)
  const { text } = scrubText(needles.of('', null), [...names].join(', '))
  return presented === null ? text : text.replaceAll(presented, '[placeholder]')
}
