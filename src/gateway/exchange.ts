import { mayHandOut } from '../core/policy.ts'
import { pathOf } from '../core/request.ts'
import { injectCredential } from '../injectors/placement.ts'
import type { FieldValues } from '../injectors/injector.ts'
import type { Credentials, OpenVersion } from '../vault/credentials.ts'
import type { Arrival } from './arrival.ts'
import type { Holds, TakenHold } from './hold.ts'
import { proxyToken } from './identify.ts'
import type { Approval } from './approval/approvals.ts'
import { askPerson, type AskPorts } from './approval/ask.ts'
import { bodyWithoutMethod } from './body-method.ts'
import { SESSION_INFLIGHT_MAXIMUM } from './inflight.ts'
import { changedSince, judge, refusedNow, type Judgement, type JudgePorts } from './judge.ts'
import type { Located, Unlisted } from './locate.ts'
import { locateArrival, type ArrivalPorts } from './locate-arrival.ts'
import { readMeaning, type MeaningPorts } from './meaning/read.ts'
import { isRefusal, refusalFrom, sendRefusal, type Refusal } from './refusal.ts'
import { refuse } from './refuse.ts'
import { recordIntent, recordOutcome } from './record.ts'
import { nothingSent, relay, type RelayEnd } from './relay.ts'
import { gather, type Gathered, type RequestBody, type UpstreamBody } from './body.ts'
import { withoutProof, type ProofGate } from './proof-gate.ts'
import type { Reply } from './reply.ts'
import { WEBSOCKET } from './websocket/handshake.ts'
import { passUnlisted, type UnlistedPorts } from './unlisted.ts'
import { relayUpgrade } from './websocket/relay-upgrade.ts'
import type { FrameSwap } from './websocket/swap.ts'

/** What the exchange needs from the rest of the house; every one of them is a keeper, a driver or a socket behind a contract. */
export interface ExchangePorts extends ArrivalPorts, MeaningPorts, UnlistedPorts, JudgePorts, AskPorts {
  readonly credentials: Credentials
  readonly holds: Holds
  readonly proofs: ProofGate
}

/**
 * One request, one direction: identify, locate, decide, hold, inject, dial, relay (scrub), settle,
 * record. Knows no socket: bytes come and go through `body`, `reply` and the dialler.
 */
export async function exchange(arrival: Arrival, body: RequestBody, reply: Reply, ports: ExchangePorts): Promise<void> {
  const startedAt = ports.now()
  const located = locateArrival(arrival, body, ports)
  const place = located instanceof Promise ? await located : located
  if (place === 'gone') return
  if (isRefusal(place)) return refuse(arrival, null, place, reply, ports)
  try {
    await pass(arrival, place, body, reply, ports, startedAt)
  } finally {
    if (place.kind === 'service') place.body?.leave()
  }
}

async function pass(
  arrival: Arrival,
  place: Located | Unlisted,
  body: RequestBody,
  reply: Reply,
  ports: ExchangePorts,
  startedAt: number,
): Promise<void> {
  const looking = ports.peers.refusalOf(place.caller, arrival.remote)
  const elsewhere = looking instanceof Promise ? await looking : looking
  if (elsewhere !== null) return refuse(arrival, place, elsewhere, reply, ports)
  let asked = place
  if (place.caller.jkt !== null && arrival.tunnel === null) {
    const unproven = await ports.proofs.refusalOf(place.caller, arrival, shownToken(arrival, place))
    if (unproven !== null) return refuse(arrival, place, unproven, reply, ports)
    asked = withoutProof(place)
  }
  if (ports.inflight.countOf(asked.caller.sessionId) >= SESSION_INFLIGHT_MAXIMUM) {
    return refuse(arrival, asked, { refusal: 'overloaded', retryAfterSeconds: 1 }, reply, ports)
  }
  // From here on it counts, also while its body is still on the way.
  const leave = ports.inflight.reserve(asked.caller.sessionId)
  try {
    await (asked.kind === 'unlisted'
      ? passUnlisted(arrival, asked, body, reply, ports, startedAt)
      : asked.service.speaks === undefined
        ? passListed(arrival, asked, body, reply, ports, startedAt, null)
        : passSpoken(arrival, asked, body, reply, ports, startedAt))
  } finally {
    leave()
  }
}

/** What was shown as the session's: the placeholder, or the proxy's credentials where there is none. */
function shownToken(arrival: Arrival, place: Located | Unlisted): string {
  const presented = place.kind === 'service' ? place.presented : null
  return (arrival.door === 'base-url' ? presented : proxyToken(arrival.headers)) ?? ''
}

/** Where the body may say what is done, it is read before anything is decided. */
async function passSpoken(
  arrival: Arrival,
  place: Located,
  body: RequestBody,
  reply: Reply,
  ports: ExchangePorts,
  startedAt: number,
): Promise<void> {
  const read = await readMeaning(arrival, place, body, ports)
  if (read === 'gone') return
  if (isRefusal(read)) return refuse(arrival, place, read, reply, ports)
  try {
    await passListed(arrival, read, body, reply, ports, startedAt, null)
  } finally {
    read.body?.leave()
  }
}

/** Where a condition asks about the body, it is read whole, and what was read is what is sent. */
async function passRead(
  arrival: Arrival,
  place: Located,
  body: RequestBody,
  reply: Reply,
  ports: ExchangePorts,
  startedAt: number,
): Promise<void> {
  const whole = await ports.wholeBodies.read(body, place.caller.sessionId)
  if (whole === 'gone') return
  if (isRefusal(whole)) return refuse(arrival, place, whole, reply, ports)
  try {
    await passListed(arrival, { ...place, body: whole }, body, reply, ports, startedAt, null)
  } finally {
    whole.leave()
  }
}

/** Where a person has to be asked, that is done before anything is held, and what is then sent is judged anew. */
async function passAsked(
  arrival: Arrival,
  place: Located,
  judged: Judgement,
  body: RequestBody,
  reply: Reply,
  ports: ExchangePorts,
  startedAt: number,
): Promise<void> {
  const asked = await askPerson(arrival, place, judged, body, reply, ports)
  if (asked === 'gone') return
  if (isRefusal(asked)) return refuse(arrival, place, asked, reply, ports)
  try {
    await passListed(arrival, asked.place, body, reply, ports, startedAt, asked.approval)
  } finally {
    asked.leave()
  }
}

/** `approval`: a person's, for this very request. */
async function passListed(
  arrival: Arrival,
  place: Located,
  body: RequestBody,
  reply: Reply,
  ports: ExchangePorts,
  startedAt: number,
  approval: Approval | null,
): Promise<void> {
  const judged = judge(arrival, place, ports)
  if (isRefusal(judged)) {
    if (judged.wantsBody === true) return passRead(arrival, place, body, reply, ports, startedAt)
    return refuse(arrival, place, judged, reply, ports)
  }
  const { decision, operation, grants } = judged
  if (decision.ask !== undefined && approval === null)
    return passAsked(arrival, place, judged, body, reply, ports, startedAt)

  const id = ports.newId()
  const question = {
    exchangeId: id,
    agentId: place.caller.agentId,
    credentialId: place.credentialId,
    service: place.service.id,
    operation,
  }
  const hold =
    decision.shares === undefined
      ? ports.holds.take(decision.grant, decision.limits, question)
      : ports.holds.takeAll(decision.shares, question)
  if (isRefusal(hold)) return refuse(arrival, place, hold, reply, ports)
  try {
    const counting = ports.sessions.narrowings.use(place.caller)
    if (counting !== null) {
      const used = await counting.catch(refusalFrom)
      if (used !== null) return refuse(arrival, place, used, reply, ports)
    }
    // From here to the intent nothing is waited for: an approval is used up by one request, which names it there.
    if (approval !== null && !approval.take())
      return refuse(arrival, place, { refusal: 'approval_void', facts: { approval: approval.id } }, reply, ports)
    await perform({ arrival, place, body, reply, ports, startedAt, id, hold, approval, decision, operation, grants })
  } finally {
    hold.settle(null)
  }
}

interface Performance extends Judgement {
  readonly arrival: Arrival
  readonly place: Located
  readonly body: RequestBody
  readonly reply: Reply
  readonly ports: ExchangePorts
  readonly startedAt: number
  readonly id: string
  readonly hold: TakenHold
  readonly approval: Approval | null
}

async function perform(p: Performance): Promise<void> {
  const { arrival, place, reply, ports, id } = p
  const gathering = place.body === null ? gather(p.body) : { body: sentBody(place.body.bytes) }
  let version: OpenVersion
  try {
    version = ports.credentials.current(place.credentialId)
    await writeIntent(p, version)
  } catch (error) {
    return refuse(arrival, place, refusalFrom(error), reply, ports)
  }
  const gathered = withoutMethod(p, await gathering)
  // Journal and body took their time; what was true before may have been revoked since.
  const refused = changed(p)
  let end: RelayEnd
  if (refused !== null) {
    sendRefusal(reply, refused)
    end = { ...nothingSent, outcome: 'refused', code: refused.refusal }
  } else if (gathered === 'gone') {
    end = { ...nothingSent, outcome: 'aborted', code: null }
  } else if (isRefusal(gathered)) {
    sendRefusal(reply, gathered)
    end = { ...nothingSent, outcome: 'refused', code: gathered.refusal }
  } else {
    ports.misplaced.inHead(id, place)
    end = await send(p, version, gathered.body)
  }
  p.hold.settle(null)
  recordOutcome(id, place.caller, end, ports.now() - p.startedAt, ports)
}

/** A body that would change what was decided on is refused like a query that would. */
function withoutMethod(p: Performance, gathered: Gathered): Gathered {
  return gathered === 'gone' || isRefusal(gathered) ? gathered : bodyWithoutMethod(p.place.head, gathered.body)
}

function writeIntent(p: Performance, version: OpenVersion): Promise<void> {
  const { grant, rule } = p.decision
  const decided = { approval: p.approval?.id, grant, rule, operation: p.operation, version: version.number }
  return recordIntent(p.id, p.arrival, p.place, decided, p.ports)
}

async function send(p: Performance, intended: OpenVersion, body: UpstreamBody): Promise<RelayEnd> {
  const { place, reply, ports } = p
  try {
    // The key may have been replaced since the intent was written: what goes out is what is current now.
    const version = ports.credentials.current(place.credentialId)
    if (version.number !== intended.number) {
      await writeIntent(p, version)
      const refused = changed(p)
      if (refused !== null) {
        sendRefusal(reply, refused)
        return { ...nothingSent, outcome: 'refused', code: refused.refusal }
      }
    }
    const values = textOf(version)
    const { head, body: written } = injectCredential(
      { head: place.head, body: place.body?.bytes ?? null },
      place.rule,
      values,
    )
    const needles = ports.needles.of(place.credentialId, place.presented)
    const { service, caller, credentialId } = place
    const { sessionId, agentId, narrowed } = caller
    const entry = { sessionId, agentId, narrowed, credentialId, reserved: true }
    const common = { head, reply, service, dialler: ports.dialler, protocol: p.arrival.protocol }
    if (p.arrival.upgrade !== WEBSOCKET)
      return await relay({
        ...common,
        // Looked at once the credential stands where the placeholder stood, which had every business to be there.
        body: ports.misplaced.inBody(p.id, place, written === null ? body : sentBody(written)),
        needles,
        mayHandOut: () => mayHandOut(service.handsOut ?? [], place.head.method, pathOf(place.head.target)),
        watch: (end) => ports.inflight.add({ ...entry, end }),
      })
    return await relayUpgrade({
      ...common,
      asked: p.arrival.headers,
      needles: () => ports.needles.of(credentialId, place.presented),
      swap: swapFor(p, values),
      notice: ports.misplaced.watch(p.id, place, 'message'),
      check: () => refusedNow(p.arrival, place, p.approval, ports)?.refusal ?? null,
      watch: (end) => ports.inflight.add({ ...entry, version: version.number, end }),
    })
  } catch (error) {
    const refusal = refusalFrom(error)
    sendRefusal(reply, refusal)
    return { ...nothingSent, outcome: 'refused', code: refusal.refusal }
  }
}

/** An empty body is none: not every request has a place for one. */
function sentBody(bytes: Uint8Array): Uint8Array | null {
  return bytes.length === 0 ? null : bytes
}

/** Why what was decided holds no longer, or null. */
function changed({ arrival, place, grants, approval, ports }: Performance): Refusal | null {
  return changedSince(arrival, place, grants, approval, ports)
}

/** Which placeholders in messages stand for what: those of this session and credential, in the places that the service declares. */
function swapFor(p: Performance, values: FieldValues): FrameSwap | null {
  const { place, ports } = p
  const places = place.service.frames
  if (places === undefined || places.length === 0) return null
  return {
    places,
    standsFor(text, field) {
      const owner = ports.sessions.byPlaceholder(text)
      if (owner === null || isRefusal(owner)) return null
      const own = owner.sessionId === place.caller.sessionId && owner.credentialId === place.credentialId
      // What was true when the connection was opened may have been taken away since.
      return own && owner.field === field && changed(p) === null ? (values[field] ?? null) : null
    },
  }
}

function textOf(version: OpenVersion): FieldValues {
  const values: Record<string, string> = {}
  for (const name in version.fields) {
    const value = version.fields[name]
    if (value !== undefined) values[name] = typeof value === 'string' ? value : value.revealText()
  }
  return values
}
