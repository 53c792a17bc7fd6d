import type { ErrorCode } from '../core/errors.ts'
import { headerValues, type HeaderPair, type RequestHead } from '../core/request.ts'
import { parseAuthority, parseTarget } from '../core/canonical-target.ts'
import type { Grants } from '../identity/grants.ts'
import type { Caller, Sessions } from '../identity/sessions.ts'
import { bodyReaders, findPlaceholder, headersOf, type FoundPlaceholder } from '../injectors/placement.ts'
import type { ServiceDirectory } from '../services/directory.ts'
import type { InjectionRule, Service } from '../services/service.ts'
import type { Arrival } from './arrival.ts'
import type { ForwardTarget } from './forward-target.ts'
import { isLoopback } from './egress.ts'
import type { Guarded, Held } from './guarded.ts'
import type { Meaning } from './meaning/read.ts'
import { needsProof, unproven, type ProvePorts, type Sent } from './prove.ts'
import { isRefusal, refusalFrom, refusedTo, type Refusal } from './refusal.ts'
import { requestHeadersForUpstream } from './request-headers.ts'
import type { WholeBody } from './whole-body.ts'

/** A request that names one credential of one service. */
export interface Located {
  readonly kind: 'service'
  readonly caller: Caller
  readonly head: RequestHead
  readonly service: Service
  readonly credentialId: string
  readonly rule: InjectionRule
  /** The placeholder's text as the agent sent it, null where the session alone proved the right. */
  readonly presented: string | null
  /** The body, where it was read before anything was decided: it takes the place of what is still on its way. */
  readonly body: WholeBody | null
  /** What the body asks for, where it is judged by that. */
  readonly meaning?: Meaning
}

/** What the request is for cannot be told before its body is here. */
export interface BodyFirst {
  readonly kind: 'body-first'
  /** Null: the body may hold what proves it. */
  readonly caller: Caller | null
}

/** A request for a host that no service of this environment guards. */
export interface Unlisted {
  readonly kind: 'unlisted'
  readonly caller: Caller
  readonly head: RequestHead
}

export interface LocatePorts extends ProvePorts {
  readonly sessions: Sessions
  readonly services: ServiceDirectory
  readonly guarded: Guarded
  readonly grants: Grants
}

const BASE_URL = /^\/s\/([a-z0-9][a-z0-9-]{0,62})(?=[/?]|$)/

/** `/s/SERVICE/rest` on the gateway's own port. The placeholder proves the session. `body`: once it was asked for. */
export function locateBaseUrl(
  arrival: Arrival,
  ports: LocatePorts,
  body: Uint8Array | null,
): Located | BodyFirst | Refusal {
  const hostRefusal = ownHostRefusal(arrival.headers)
  if (hostRefusal !== null) return hostRefusal
  const match = BASE_URL.exec(arrival.rawTarget)
  if (match === null) return { refusal: 'service_unknown', detail: 'The gateway answers `/s/SERVICE/…`.' }
  const service = ports.services.get(match[1] ?? '')
  if (service === undefined) return { refusal: 'service_unknown' }
  const headers = requestHeadersForUpstream(arrival.headers, {
    method: arrival.method,
    guarded: placesOf(service).headers,
    whole: true,
  })
  if (isRefusal(headers)) return headers
  const rest = arrival.rawTarget.slice(match[0].length)
  const target = parseTarget(rest.startsWith('/') ? rest : `/${rest}`, { encodedSlash: service.encodedSlash ?? false })
  if ('refusal' in target) return target
  const scheme = service.endpoint?.startsWith('http:') ? 'http' : 'https'
  const head: RequestHead = {
    method: arrival.method,
    scheme,
    host: '',
    port: portOf(scheme),
    target: target.target,
    headers: headers.headers,
  }
  if (body === null && wantsBody(head, service)) return { kind: 'body-first', caller: null }
  const found = presentedIn(head, service, body)
  if (found === null)
    return { refusal: 'token_missing', detail: 'A base-URL request needs the placeholder in the place of the key.' }
  if (isRefusal(found)) return found
  const owner = ports.sessions.byPlaceholder(found.text)
  if (owner === null) return { refusal: notAPlaceholder(found.text) }
  // Where it has to be proven, nobody is named before it is.
  const named = (refusal: Refusal, caller: Caller | undefined): Refusal =>
    caller === undefined || needsProof(found.rule) ? { refusal: refusal.refusal } : refusedTo(caller, refusal)
  if (isRefusal(owner)) return named(owner, owner.caller)
  if (owner.short)
    return {
      refusal: 'token_missing',
      detail: 'This placeholder is too short to prove a session by itself; use the proxy.',
    }
  const held = ports.guarded.of(owner.credentialId)
  if (held === undefined) return named({ refusal: 'credential_missing' }, owner)
  if (held.service.id !== service.id || owner.field !== found.field)
    return named({ refusal: 'placeholder_elsewhere' }, owner)
  const proof = unproven(found.rule, { arrival, target: arrival.rawTarget, body }, owner, ports)
  if (proof !== null) return proof
  const host = held.hosts.find((candidate) => !candidate.startsWith('*'))
  if (host === undefined)
    return refusedTo(owner, { refusal: 'host_not_listed', detail: `${service.id} has no single host; use the proxy.` })
  return {
    kind: 'service',
    caller: owner,
    head: withHost({ ...head, host }),
    service,
    credentialId: owner.credentialId,
    rule: found.rule,
    presented: found.text,
    body: null,
  }
}

/** A request through the forward proxy, by a caller whom the proxy credentials proved. `body`: once it was asked for. */
export function locateForward(
  arrival: Arrival,
  caller: Caller,
  where: ForwardTarget,
  ports: LocatePorts,
  body: Uint8Array | null,
): Located | Unlisted | BodyFirst | Refusal {
  const { scheme, host, port } = where
  const guards = ports.guarded.at(caller.environment, host)
  const service = guards[0]?.service
  const headers = requestHeadersForUpstream(arrival.headers, {
    method: arrival.method,
    ...(service === undefined ? {} : { guarded: placesOf(service).headers, whole: true }),
  })
  if (isRefusal(headers)) return headers
  const hostRefusal = hostHeaderRefusal(headers.headers, where)
  if (hostRefusal !== null) return hostRefusal
  const target = parseTarget(where.rawTarget, { encodedSlash: service?.encodedSlash ?? false })
  // A host that nobody guards gets what the agent wrote; only a credential needs one reading.
  if ('refusal' in target && (service !== undefined || target.refusal !== 'path_not_canonical')) return target
  const head = withHost({
    method: arrival.method,
    scheme,
    host,
    port,
    target: 'refusal' in target ? where.rawTarget : target.target,
    headers: headers.headers,
  })
  if (service === undefined) return { kind: 'unlisted', caller, head }
  if (scheme === 'http' && !service.endpoint?.startsWith('http:')) return { refusal: 'cleartext_refused' }
  if (port !== portOf(scheme))
    return { refusal: 'port_refused', detail: `Services are reached on port ${portOf(scheme)}.` }
  if (body === null && wantsBody(head, service)) return { kind: 'body-first', caller }
  const chosen = chooseCredential(head, { arrival, target: where.rawTarget, body }, caller, service, guards, ports)
  return isRefusal(chosen) ? chosen : { kind: 'service', head, service, ...chosen, body: null }
}

/** The credential whose placeholder the request presents, or the only one that the caller's grants know here. */
function chooseCredential(
  head: RequestHead,
  sent: Sent,
  caller: Caller,
  service: Service,
  guards: readonly Held[],
  ports: LocatePorts,
): Pick<Located, 'caller' | 'credentialId' | 'rule' | 'presented'> | Refusal {
  const found = presentedIn(head, service, sent.body)
  if (found !== null) {
    if (isRefusal(found)) return found
    const owner = ports.sessions.byPlaceholder(found.text)
    if (owner === null) return { refusal: notAPlaceholder(found.text) }
    if (isRefusal(owner)) return owner
    const narrower = narrowerOf(caller, owner)
    if (narrower === null) return { refusal: 'placeholder_foreign' }
    if (!guards.some((held) => held.credentialId === owner.credentialId) || owner.field !== found.field)
      return { refusal: 'placeholder_elsewhere' }
    const proof = unproven(found.rule, sent, owner, ports)
    if (proof !== null) return proof
    return { caller: narrower, credentialId: owner.credentialId, rule: found.rule, presented: found.text }
  }
  const granted = new Set(ports.grants.credentialsOf(caller.agentId))
  const fitting = guards.filter((held) => granted.has(held.credentialId))
  const only = fitting[0]
  const rule = service.inject[0]
  if (only === undefined || rule === undefined) return { refusal: 'grant_missing' }
  if (fitting.length > 1) return { refusal: 'credential_ambiguous' }
  if (needsProof(rule)) return { refusal: 'signature_missing' }
  return { caller, credentialId: only.credentialId, rule, presented: null }
}

/** Of the two by whom a request is proven, the one to whom less is left; null where neither comes from the other. */
function narrowerOf(caller: Caller, owner: Caller): Caller | null {
  if (owner.sessionId !== caller.sessionId) return null
  if (owner.narrowed === caller.narrowed || owner.narrowed === null) return caller
  if (caller.narrowed === null || owner.narrowed.ids.includes(caller.narrowed.id)) return owner
  return caller.narrowed.ids.includes(owner.narrowed.id) ? caller : null
}

function presentedIn(
  head: RequestHead,
  service: Service,
  body: Uint8Array | null,
): FoundPlaceholder<InjectionRule> | Refusal | null {
  try {
    return findPlaceholder(head, service, body)
  } catch (error) {
    return refusalFrom(error)
  }
}

interface Places {
  /** Lower-case names of the headers in which the service's credentials stand. */
  readonly headers: readonly string[]
  readonly readers: ReturnType<typeof bodyReaders>
}

const placesOfServices = new WeakMap<Service, Places>()

function placesOf(service: Service): Places {
  const known = placesOfServices.get(service)
  if (known !== undefined) return known
  const places = { headers: service.inject.flatMap(headersOf), readers: bodyReaders(service.inject) }
  placesOfServices.set(service, places)
  return places
}

/** Whether the body has to be here before it can be told which credential is meant. */
function wantsBody(head: RequestHead, service: Service): boolean {
  return placesOf(service).readers.some((reads) => reads(head))
}

/** A text with the mark but a wrong checksum is a placeholder that was cut or mistyped; anything else is taken for a key of the agent's own. */
function notAPlaceholder(text: string): ErrorCode {
  return text.includes('kwp') ? 'token_invalid' : 'placeholder_required'
}

function portOf(scheme: 'https' | 'http'): number {
  return scheme === 'https' ? 443 : 80
}

/** The one Host header that goes upstream, written anew from what was decided. */
function withHost(head: RequestHead): RequestHead {
  const name = head.host.includes(':') ? `[${head.host}]` : head.host
  const authority = head.port === portOf(head.scheme) ? name : `${name}:${head.port}`
  const headers: HeaderPair[] = [['host', authority]]
  for (const pair of head.headers) if (pair[0] !== 'host') headers.push(pair)
  return { ...head, headers }
}

/**
 * The gateway's own port answers to loopback names only: a page whose name was rebound to this address
 * arrives under its own name. The port is not compared, since a relay may stand in front.
 */
export function ownHostRefusal(headers: readonly HeaderPair[]): Refusal | null {
  const [value = '', ...others] = headerValues(headers, 'host')
  if (others.length === 0 && ownHosts.has(value)) return null
  const parsed = parseAuthority(value)
  if (others.length > 0 || isRefusal(parsed))
    return { refusal: 'request_malformed', detail: 'There is not one well-formed Host header.' }
  if (parsed.host !== 'localhost' && !isLoopback(parsed.host))
    return { refusal: 'host_mismatch', detail: 'A base URL names the gateway itself as its host.' }
  if (ownHosts.size < OWN_HOSTS_MAXIMUM) ownHosts.add(value)
  return null
}

/** Host headers that were read and are the gateway's own. */
const ownHosts = new Set<string>()
const OWN_HOSTS_MAXIMUM = 64

function hostHeaderRefusal(headers: readonly HeaderPair[], where: ForwardTarget): Refusal | null {
  const values = headerValues(headers, 'host')
  const value = values[0]
  if (value === undefined) return { refusal: 'request_malformed', detail: 'There is no Host header.' }
  if (values.length > 1) return { refusal: 'request_malformed', detail: 'There is more than one Host header.' }
  const parsed = parseAuthority(value)
  if ('refusal' in parsed) return { refusal: 'request_malformed', detail: 'The Host header is malformed.' }
  return parsed.host === where.host && (parsed.port ?? portOf(where.scheme)) === where.port
    ? null
    : { refusal: 'host_mismatch' }
}
