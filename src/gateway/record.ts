import { pathOf } from '../core/request.ts'
import type { NeedleSet } from '../core/needles.ts'
import { scrubText } from '../core/scrub.ts'
import type { Caller } from '../identity/sessions.ts'
import type { Journal } from '../journal/journal.ts'
import type { Records } from '../vault/records.ts'
import type { Arrival } from './arrival.ts'
import type { Located, Unlisted } from './locate.ts'
import type { NeedleSource } from './needle-source.ts'
import type { PeerGate } from './peer-gate.ts'
import type { RefusalLimits } from './refusal-limits.ts'
import type { Refusal } from './refusal.ts'
import type { RelayEnd } from './relay.ts'
import { WEBSOCKET } from './websocket/handshake.ts'

export interface RecordPorts {
  readonly journal: Pick<Journal, 'append' | 'note'>
  readonly refusalLimits: RefusalLimits
  readonly needles: NeedleSource
  readonly records: Pick<Records, 'get'>
  readonly peers: PeerGate
}

/** Characters of a path that the journal keeps. */
export const RECORDED_PATH_CHARACTERS = 1_024

/**
 * What the journal says of a request. The path without the query: a query may hold what an agent should
 * have put into a header. Neither a placeholder, which opens a session, nor a secret of the vault is
 * written down, wherever the agent put it. Here and below, members stand in the order in which the journal
 * spells them: sorting them for every request is what an entry would otherwise cost most.
 */
export function factsOf(
  arrival: Arrival,
  place: Located | Unlisted,
  ports: Pick<RecordPorts, 'needles' | 'records' | 'peers'>,
): Record<string, string | number> {
  const { caller, head } = place
  const credential = credentialOf(place, ports)
  const upgrade = upgradeOf(arrival)
  return {
    agent: caller.agent,
    ...(credential === null ? {} : { credential }),
    door: arrival.door,
    environment: caller.environment,
    host: place.kind === 'service' ? head.host : scrubText(ports.needles.of('', null), head.host).text,
    method: head.method,
    ...(caller.narrowed === null ? {} : { narrowed: caller.narrowed.id }),
    path: recordedPath(place, ports),
    peer: arrival.peer,
    ...(place.kind === 'service' ? { service: place.service.id } : {}),
    session: caller.sessionId,
    ...ports.peers.factsOf(caller, arrival.remote),
    ...(upgrade === undefined ? {} : { upgrade }),
  }
}

/** Written before a credential leaves. */
export function recordIntent(
  exchange: string,
  arrival: Arrival,
  place: Located,
  decided: {
    /** By which a person let it pass. */
    readonly approval: string | undefined
    readonly grant: string
    readonly rule: string
    readonly operation: string | null
    readonly version: number
  },
  ports: Pick<RecordPorts, 'journal' | 'needles' | 'records' | 'peers'>,
): Promise<void> {
  const { caller, head, service } = place
  const { approval, grant, rule, operation, version } = decided
  const { bound, process, program } = ports.peers.factsOf(caller, arrival.remote)
  return ports.journal.append({
    agent: caller.agent,
    approval,
    bound,
    credential: credentialOf(place, ports) ?? undefined,
    decision: 'allow',
    door: arrival.door,
    environment: caller.environment,
    exchange,
    grant,
    host: head.host,
    kind: 'intent',
    method: head.method,
    narrowed: caller.narrowed?.id,
    operation: operation ?? undefined,
    path: recordedPath(place, ports),
    peer: arrival.peer,
    process,
    program,
    rule,
    service: service.id,
    session: caller.sessionId,
    upgrade: upgradeOf(arrival),
    version,
  })
}

function upgradeOf({ upgrade }: Arrival): typeof WEBSOCKET | undefined {
  return upgrade === WEBSOCKET ? WEBSOCKET : undefined
}

function credentialOf(place: Located | Unlisted, { records }: Pick<RecordPorts, 'records'>): string | null {
  return place.kind === 'service' ? (records.get('credential', place.credentialId)?.name ?? null) : null
}

function recordedPath(place: Located | Unlisted, { needles }: Pick<RecordPorts, 'needles'>): string {
  const path = scrubbedPath(needles.of('', null), pathOf(place.head.target))
  const presented = place.kind === 'service' ? place.presented : null
  return shortened(presented === null ? path : path.replaceAll(presented, '[placeholder]'))
}

/** Paths of which is remembered what is written of them; agents ask for the same few all the time. */
const PATHS_MAXIMUM = 1_024
const REMEMBERED_PATH_MAXIMUM_CHARACTERS = 256
const paths = new WeakMap<NeedleSet, Map<string, string>>()

function scrubbedPath(needles: NeedleSet, path: string): string {
  let known = paths.get(needles)
  const scrubbed = known?.get(path)
  if (scrubbed !== undefined) return scrubbed
  const { text } = scrubText(needles, path)
  if (path.length > REMEMBERED_PATH_MAXIMUM_CHARACTERS) return text
  if (known === undefined) paths.set(needles, (known = new Map()))
  if (known.size >= PATHS_MAXIMUM) known.clear()
  known.set(path, text)
  return text
}

function shortened(path: string): string {
  if (path.length <= RECORDED_PATH_CHARACTERS) return path
  return `${path.slice(0, RECORDED_PATH_CHARACTERS)}… (${path.length} characters)`
}

/** Closes the intent (or the egress) of the same exchange. */
export function recordOutcome(
  exchange: string,
  caller: Caller,
  end: RelayEnd,
  latencyMilliseconds: number,
  ports: Pick<RecordPorts, 'journal'>,
): void {
  const { messages } = end
  ports.journal.note({
    agent: caller.agent,
    bytesDown: end.bytesDown,
    bytesUp: end.bytesUp,
    code: end.code ?? undefined,
    environment: caller.environment,
    exchange,
    kind: 'outcome',
    latencyMilliseconds,
    messagesDown: messages?.down,
    messagesUp: messages?.up,
    outcome: end.outcome,
    scrubbed: end.scrubbed,
    status: end.status ?? undefined,
    swapped: messages?.swapped,
  })
}

/** Writes the refusal down and gives back what to answer: who is beyond the limit gets a shorter answer and no entry of its own. */
export async function recordRefusal(
  refusal: Refusal,
  facts: Record<string, string | number>,
  ports: Pick<RecordPorts, 'journal' | 'refusalLimits'>,
): Promise<Refusal> {
  const { caller, rule } = refusal
  const beyond = ports.refusalLimits.refuse(caller?.sessionId ?? null)
  const told: Refusal =
    beyond === null ? refusal : { refusal: 'too_many_attempts', retryAfterSeconds: beyond.retryAfterSeconds }
  if (beyond !== null && !beyond.firstBeyond) return told
  const who =
    caller === undefined
      ? {}
      : {
          agent: caller.agent,
          session: caller.sessionId,
          environment: caller.environment,
          ...(caller.narrowed === null ? {} : { narrowed: caller.narrowed.id }),
        }
  const event = {
    kind: 'refusal',
    ...who,
    ...facts,
    ...refusal.facts,
    decision: 'deny',
    code: told.refusal,
    ...(rule === undefined ? {} : { rule }),
  } as const
  // A refusal carries no credential, so a journal that cannot take it stops nothing; the next intent will be refused.
  await ports.journal.append(event).catch(() => undefined)
  return told
}
