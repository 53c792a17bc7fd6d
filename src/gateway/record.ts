import { pathOf } from '../core/request.ts'
import { scrubText } from '../core/scrub.ts'
import type { Caller } from '../identity/sessions.ts'
import type { JournalEvent } from '../journal/event.ts'
import type { Records } from '../vault/records.ts'
import type { Arrival } from './arrival.ts'
import type { Located, Unlisted } from './locate.ts'
import type { NeedleSource } from './needle-source.ts'
import type { RefusalLimits } from './refusal-limits.ts'
import type { Refusal } from './refusal.ts'
import type { RelayEnd } from './relay.ts'

export interface RecordPorts {
  readonly journal: { append(event: JournalEvent): Promise<void> }
  readonly refusalLimits: RefusalLimits
  readonly needles: NeedleSource
  readonly records: Pick<Records, 'get'>
}

/** Characters of a path that the journal keeps. */
export const RECORDED_PATH_CHARACTERS = 1_024

/**
 * What the journal says of a request. The path without the query: a query may hold what an agent should
 * have put into a header. Neither a placeholder, which opens a session, nor a secret of the vault is
 * written down, wherever the agent put it.
 */
export function factsOf(
  arrival: Arrival,
  place: Located | Unlisted,
  ports: Pick<RecordPorts, 'needles' | 'records'>,
): Record<string, string> {
  const { caller, head } = place
  const needles = ports.needles.of('', null)
  const path = scrubText(needles, pathOf(head.target)).text
  const facts = {
    door: arrival.door,
    peer: arrival.peer,
    agent: caller.agent,
    session: caller.sessionId,
    environment: caller.environment,
    method: head.method,
  }
  if (place.kind === 'unlisted') return { ...facts, host: scrubText(needles, head.host).text, path: shortened(path) }
  const credential = ports.records.get('credential', place.credentialId)?.name
  return {
    ...facts,
    host: head.host,
    path: shortened(place.presented === null ? path : path.replaceAll(place.presented, '[placeholder]')),
    service: place.service.id,
    ...(credential === undefined ? {} : { credential }),
  }
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
): Promise<void> {
  return record(ports, {
    kind: 'outcome',
    exchange,
    agent: caller.agent,
    environment: caller.environment,
    outcome: end.outcome,
    ...(end.code === null ? {} : { code: end.code }),
    ...(end.status === null ? {} : { status: end.status }),
    bytesUp: end.bytesUp,
    bytesDown: end.bytesDown,
    scrubbed: end.scrubbed,
    latencyMilliseconds,
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
    caller === undefined ? {} : { agent: caller.agent, session: caller.sessionId, environment: caller.environment }
  await record(ports, {
    kind: 'refusal',
    ...who,
    ...facts,
    decision: 'deny',
    code: told.refusal,
    ...(rule === undefined ? {} : { rule }),
  })
  return told
}

/** An outcome or a refusal carries no credential, so a journal that cannot take it stops nothing; the next intent will be refused. */
async function record(ports: Pick<RecordPorts, 'journal'>, event: JournalEvent): Promise<void> {
  await ports.journal.append(event).catch(() => undefined)
}
