import { isIP } from 'node:net'
import type { Json } from '../core/canonical-json.ts'
import type { JournalEntry } from './entry.ts'
import type { JournalEvent } from './event.ts'

/** The version of the Open Cybersecurity Schema Framework that the events keep to: <https://schema.ocsf.io/1.2.0/>. */
export const OCSF_VERSION = '1.2.0'

/** One event of OCSF, plain JSON. */
export type OcsfEvent = { readonly [member: string]: Json | undefined }
type Members = OcsfEvent

const API_ACTIVITY = 6003
const APPLICATION_LIFECYCLE = 6002
const ENTITY_MANAGEMENT = 3004
const DETECTION_FINDING = 2004
const UNKNOWN = 0
const CREATE = 1
const READ = 2
const UPDATE = 3
const DELETE = 4
const START = 3
const STOP = 4
const OTHER = 99
const SUCCESS = 1
const FAILURE = 2
const INFORMATIONAL = 1
const LOW = 2
const MEDIUM = 3
/** The methods that the schema lists for `http_method`; another one stays in `unmapped`. */
const listedMethods = new Set(['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'TRACE'])
const activityOfMethod: Readonly<Record<string, number>> = {
  DELETE,
  GET: READ,
  HEAD: READ,
  PATCH: UPDATE,
  POST: CREATE,
  PUT: UPDATE,
}
const activityOfVerb: Readonly<Record<string, number>> = {
  add: CREATE,
  issue: CREATE,
  start: CREATE,
  remove: DELETE,
  reveal: READ,
  export: READ,
}

export interface OcsfSource {
  /** `keyward/NODE` */
  readonly origin: string
  /** Of the Keyward that exports. */
  readonly version: string
  /** Whether the journal verified; an event of one that did not carries the label `unverified`. */
  readonly verified: boolean
}

/**
 * The entry as one event: requests are API Activity (6003), changes Entity Management (3004), starts and stops
 * Application Lifecycle (6002), findings Detection Finding (2004). Members without an attribute of their own
 * stand in `unmapped` under their own names, with the entry's hash.
 */
export function ocsfEvent(entry: JournalEntry, source: OcsfSource): OcsfEvent {
  const { event } = entry
  const { uid, activity, severity, members } = classOf(entry)
  return {
    activity_id: activity,
    category_uid: Math.floor(uid / 1000),
    class_uid: uid,
    ...members,
    metadata: metadataOf(entry, source),
    severity_id: severity,
    time: entry.at,
    type_uid: uid * 100 + activity,
    unmapped: { ...event, hash: entry.hash },
  }
}

interface Classified {
  readonly uid: number
  readonly activity: number
  readonly severity: number
  readonly members: Members
}

function classOf({ event, sequence }: JournalEntry): Classified {
  switch (event.kind) {
    case 'intent':
    case 'egress':
      return request(event, INFORMATIONAL, { status_id: UNKNOWN })
    case 'outcome':
      return request(event, INFORMATIONAL, {
        duration: whole(event['latencyMilliseconds']),
        ...failing(event['outcome'] !== 'answered' || Number(event['status'] ?? 0) >= 400),
        status_code: text(event['code']),
      })
    case 'refusal':
      return request(event, LOW, { ...failing(true), status_code: text(event['code']) })
    case 'control':
    case 'applied':
    case 'followed':
      return change(event)
    case 'start':
    case 'stop': {
      const app = { name: 'Keyward', vendor_name: 'Keyward', version: text(event['version']) }
      const activity = event.kind === 'start' ? START : STOP
      return { uid: APPLICATION_LIFECYCLE, activity, severity: INFORMATIONAL, members: { app } }
    }
    case 'backup':
    case 'restore':
      return copy(event)
    case 'finding': {
      const title = text(event['finding']) ?? 'finding'
      const info = { title, types: [title], uid: text(event['exchange']) ?? `entry-${sequence}` }
      return { uid: DETECTION_FINDING, activity: CREATE, severity: MEDIUM, members: { finding_info: info } }
    }
  }
}

function request(event: JournalEvent, severity: number, members: Members): Classified {
  const method = text(event['method'])
  const host = text(event['host'])
  const peer = text(event['peer'])
  const path = text(event['path'])
  const status = whole(event['status'])
  const exchange = text(event['exchange'])
  const service = text(event['service'])
  return {
    uid: API_ACTIVITY,
    activity: method === undefined ? OTHER : (activityOfMethod[method] ?? OTHER),
    severity,
    members: {
      ...members,
      actor: actorOf(event),
      api: {
        operation: text(event['operation']) ?? method ?? event.kind,
        request: exchange === undefined ? undefined : { uid: exchange },
        response: status === undefined ? undefined : { code: status },
        service: service === undefined ? undefined : { name: service },
      },
      dst_endpoint: host === undefined || host === '' ? undefined : { hostname: host, port: whole(event['port']) },
      http_request:
        method === undefined
          ? undefined
          : {
              http_method: listedMethods.has(method) ? method : undefined,
              url: path === undefined ? undefined : { hostname: host, path },
            },
      src_endpoint: peer !== undefined && isIP(peer) !== 0 ? { ip: peer } : { name: peer ?? 'agent' },
    },
  }
}

function change(event: JournalEvent): Classified {
  const action = text(event['action'])
  const verb = action?.split('.').at(-1) ?? ''
  const rows = Array.isArray(event['rows']) ? event['rows'] : []
  const name = text(rows[0]) ?? action ?? `epoch ${String(event['epoch'])}`
  return {
    uid: ENTITY_MANAGEMENT,
    activity: event.kind !== 'control' ? OTHER : (activityOfVerb[verb] ?? UPDATE),
    severity: INFORMATIONAL,
    members: {
      actor: event['actor'] === undefined && event['agent'] === undefined ? undefined : actorOf(event),
      comment: action,
      entity: { name, type: action?.split('.')[0] },
      status_id: event.kind !== 'control' ? SUCCESS : UNKNOWN,
    },
  }
}

/** A backup that was made or put back: the store is what was read or written. */
function copy(event: JournalEvent): Classified {
  return {
    uid: ENTITY_MANAGEMENT,
    activity: event.kind === 'backup' ? READ : UPDATE,
    severity: event.kind === 'backup' ? INFORMATIONAL : MEDIUM,
    members: {
      actor: actorOf(event),
      comment: `${event.kind}.${text(event['action']) ?? 'done'}`,
      entity: { name: text(event['id']) ?? event.kind, type: 'backup' },
      ...failing(event['action'] === 'broken_off'),
    },
  }
}

function actorOf(event: JournalEvent): Members {
  const session = text(event['session'])
  const who = text(event['actor']) ?? text(event['agent'])
  return {
    session: session === undefined ? undefined : { uid: session },
    user: { name: who ?? 'unknown', type: event['actor'] === undefined ? 'Agent' : 'Operator', type_id: OTHER },
  }
}

function metadataOf({ at, event, sequence }: JournalEntry, { origin, version, verified }: OcsfSource): Members {
  const epoch = event['epoch']
  return {
    correlation_uid: text(event['exchange']) ?? (typeof epoch === 'number' ? `epoch-${epoch}` : undefined),
    event_code: event.kind,
    labels: verified ? undefined : ['unverified'],
    log_name: origin,
    original_time: String(at),
    product: { name: 'Keyward', vendor_name: 'Keyward', version },
    sequence,
    uid: `${origin}#${sequence}`,
    version: OCSF_VERSION,
  }
}

const failing = (failed: boolean): Members => ({ status_id: failed ? FAILURE : SUCCESS })
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const whole = (value: unknown): number | undefined => (Number.isSafeInteger(value) ? Number(value) : undefined)
