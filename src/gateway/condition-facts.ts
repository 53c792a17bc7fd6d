import type { PlainFact } from '../core/condition-language.ts'
import type { Facts } from '../core/condition.ts'
import { Failure, readJsonBody, readParameters, type Item } from '../core/condition-value.ts'
import { headerValues, pathOf, type HeaderPair } from '../core/request.ts'
import { JSON_MAXIMUM_MEMBERS } from '../core/strict-json.ts'
import { headersOf, preparedRule } from '../injectors/placement.ts'
import type { Records } from '../vault/records.ts'
import type { Arrival } from './arrival.ts'
import type { Located } from './locate.ts'
import { parametersOf } from './meaning/parameters.ts'
import { isFault } from './meaning/tally.ts'
import { BODY_FIRST_MAXIMUM_BYTES } from './whole-body.ts'

export interface FactPorts {
  readonly sessions: { get(id: string): { readonly createdAt: number } | undefined }
  readonly records: Pick<Records, 'get'>
  readonly now: () => number
}

/** What conditions ask about one request, as it will be sent but for the credential. */
export interface RequestFacts extends Facts {
  /** Whether something was asked that only the body tells, and nobody has read it yet. */
  readonly wantsBody: boolean
}

const notHere = new Failure('reads a body that is not here yet')
const tooLong = new Failure('reads a body that is longer than is read before anything is decided')
const otherForm = new Failure('reads a body that is declared as neither JSON nor a form, or is compressed')
const otherQuery = new Failure('reads a query that has more than one reading')
const otherFormText = new Failure('reads a form that has more than one reading')
const noSession = new Failure('reads a session that is over')
const noAddress = new Failure('reads an address that nobody knows')

/** Headers in which agents have credentials of their own. */
const PRIVATE: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization'])

export function createFacts(
  arrival: Pick<Arrival, 'headers' | 'peer' | 'protocol'>,
  place: Pick<Located, 'head' | 'service' | 'caller' | 'body' | 'presented'>,
  ports: FactPorts,
): RequestFacts {
  const { head, service, caller } = place
  let wantsBody = false
  let parameters: ReturnType<Facts['query']> | null = null

  /** The length of the body; null where only reading it would tell. */
  function length(): number | null {
    if (place.body !== null) return place.body.bytes.byteLength
    const [declared] = headerValues(arrival.headers, 'content-length')
    if (declared !== undefined) return Number(declared)
    const isOver = arrival.protocol === 'http/1.1' && headerValues(arrival.headers, 'transfer-encoding').length === 0
    return isOver ? 0 : null
  }

  function want(): Failure {
    wantsBody = true
    return notHere
  }

  const plain: Readonly<Record<PlainFact, () => Item>> = {
    'request.method': () => head.method,
    'request.path': () => {
      const path = pathOf(head.target)
      return place.presented === null ? path : path.replaceAll(place.presented, '[placeholder]')
    },
    'request.host': () => head.host,
    'request.type': () => mediaType(head.headers),
    'request.size': () => length() ?? want(),
    'agent.name': () => caller.agent,
    'agent.environment': () => caller.environment,
    'agent.owner': () => ports.records.get('agent', caller.agentId)?.owner ?? '',
    'session.age': () => {
      const session = ports.sessions.get(caller.sessionId)
      return session === undefined ? noSession : Math.floor((ports.now() - session.createdAt) / 1000)
    },
    'session.binding': () => caller.binding.kind,
    'session.narrowed': () => caller.narrowed !== null,
    'source.address': () => (arrival.peer === '' ? noAddress : arrival.peer.replace(/^::ffff:(?=\d+\.)/i, '')),
  }

  return {
    now: ports.now(),
    get wantsBody() {
      return wantsBody
    },
    plain: (fact) => plain[fact](),
    headers() {
      const guarded = new Set(service.inject.flatMap(headersOf))
      return head.headers.filter(([name]) => !guarded.has(name) && !PRIVATE.has(name))
    },
    query() {
      if (parameters !== null) return parameters
      const read = parametersOf(head.target)
      const places = service.inject.map((rule) => preparedRule(rule).place)
      const isCredential = (name: string): boolean => places.some((one) => one.in === 'query' && one.name === name)
      return (parameters = isFault(read) ? otherQuery : read.filter(([name]) => !isCredential(name)))
    },
    body() {
      const bytes = length()
      if (bytes === 0) return null
      if (bytes !== null && bytes > BODY_FIRST_MAXIMUM_BYTES) return tooLong
      const form = formOf(head.headers)
      // A body that is not declared may turn out to be none.
      if (form === null && (place.body !== null || bytes !== null || mediaType(head.headers) !== '')) return otherForm
      return place.body === null ? want() : bodyOf(place.body.bytes, form)
    },
  }
}

function mediaType(headers: readonly HeaderPair[]): string {
  const [type = ''] = headerValues(headers, 'content-type')
  return (type.split(';', 1)[0] ?? '').trim().toLowerCase()
}

const TYPE =
  /^\s*application\/(?:(?<json>json|[a-z0-9.-]+\+json)|x-www-form-urlencoded)\s*(?:;\s*charset\s*=\s*(?:utf-8|"utf-8")\s*)?;?\s*$/i

/** What the body is declared as, where that is something that can be read. */
function formOf(headers: readonly HeaderPair[]): 'json' | 'form' | null {
  const codings = headerValues(headers, 'content-encoding')
  if (codings.some((coding) => coding.trim().toLowerCase() !== 'identity')) return null
  const declared = TYPE.exec(headerValues(headers, 'content-type')[0] ?? '')
  return declared === null ? null : declared.groups?.['json'] === undefined ? 'form' : 'json'
}

/** Bodies that were read: a request is judged again just before its credential leaves, and by every grant. */
const bodies = new WeakMap<Uint8Array, Item>()

function bodyOf(bytes: Uint8Array, form: 'json' | 'form' | null): Item {
  const known = bodies.get(bytes)
  if (known !== undefined) return known
  const read = form === null ? otherForm : form === 'json' ? readJsonBody(bytes) : readForm(bytes)
  bodies.set(bytes, read)
  return read
}

/** Visible ASCII only, as the standard writes forms (WHATWG URL, section 5.2). */
function readForm(bytes: Uint8Array): Item {
  const text = Buffer.from(bytes).toString('latin1')
  if (!/^[!-~]*$/.test(text)) return otherFormText
  const parameters = parametersOf(`?${text}`)
  return isFault(parameters) || parameters.length > JSON_MAXIMUM_MEMBERS ? otherFormText : readParameters(parameters)
}
