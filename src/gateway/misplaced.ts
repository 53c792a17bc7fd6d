import { createPlaceholderWatch, placeholdersIn, type PlaceholderWatch } from '../core/placeholder-watch.ts'
import type { Caller, Sessions } from '../identity/sessions.ts'
import { headersOf } from '../injectors/placement.ts'
import type { Journal } from '../journal/journal.ts'
import type { RequestBody, UpstreamBody } from './body.ts'
import type { Located, Unlisted } from './locate.ts'

/** The same text of the same session in the same place on the way to the same host is not reported again for this long: a conversation brings its history with every call. */
export const REPORTED_AGAIN_MILLISECONDS = 10 * 60_000
/** Findings about the head of one request: an agent names its headers as it likes, and each could have an entry. */
export const FINDINGS_MAXIMUM = 8
/** So many marks of one header are looked at; a head may have two hundred of them. */
export const HEADER_MARKS_MAXIMUM = 64
/** Reports that are remembered for that; past it all are forgotten. */
const REMEMBERED_MAXIMUM = 10_000

/**
 * Finds placeholders and session tokens where they have no business: in a body, in a header that is no
 * place for a credential, in a target, on the way to a host that nobody guards. They are worth nothing
 * there and are sent on as they are: a conversation that holds one must not break every call after it.
 * The journal gets a finding that names whose they are, and never the text.
 */
export interface Misplaced {
  /** What the head holds besides the placeholder that was presented in its place. */
  inHead(exchange: string, place: Located | Unlisted): void
  /** The same body, watched as it passes. */
  inBody(exchange: string, place: Located | Unlisted, body: UpstreamBody): UpstreamBody
  /** For what passes in pieces of another kind. */
  watch(exchange: string, place: Located | Unlisted, where: string): (chunk: Uint8Array) => void
}

/** Every form of a placeholder that a header may hold begins with one of these. */
const MARKS = /kwp|kws_|a3d|t3c|rd3|%6b|%6B/

export function createMisplaced(parts: {
  readonly sessions: Pick<Sessions, 'byPlaceholder' | 'byToken'>
  readonly journal: Pick<Journal, 'note'>
  readonly now: () => number
}): Misplaced {
  const reported = new Map<string, number>()

  /** Whether it was written down. */
  function report(exchange: string, place: Located | Unlisted, where: string, text: string): boolean {
    const { caller, head } = place
    // What belongs to the place of the credential is no stray, even if it is only taken out.
    if (place.kind === 'service' && headersOf(place.rule).includes(where)) return false
    const owner = ownerOf(text)
    // Anybody can write down what only looks like one.
    if (owner === null) return false
    const now = parts.now()
    const key = `${caller.sessionId} ${head.host} ${where} ${text}`
    const before = reported.get(key)
    if (before !== undefined && now - before < REPORTED_AGAIN_MILLISECONDS) return false
    if (reported.size >= REMEMBERED_MAXIMUM) reported.clear()
    reported.set(key, now)
    const finding = {
      agent: caller.agent,
      environment: caller.environment,
      exchange,
      finding: text.startsWith('kws_') ? 'token_misplaced' : 'placeholder_misplaced',
      host: place.kind === 'service' ? head.host : '',
      kind: 'finding',
      ownerAgent: owner.agent,
      ownerSession: owner.sessionId,
      session: caller.sessionId,
      where,
    } as const
    parts.journal.note(finding)
    return true
  }

  function ownerOf(text: string): Pick<Caller, 'agent' | 'sessionId'> | null {
    const found = text.startsWith('kws_') ? parts.sessions.byToken(text) : parts.sessions.byPlaceholder(text)
    if (found === null) return null
    // Of a session that is over it is told as well: it says what has been leaking.
    return 'refusal' in found ? (found.caller ?? null) : found
  }

  /** How many findings that made. */
  function look(exchange: string, place: Located | Unlisted, where: string, text: string): number {
    if (!MARKS.test(text)) return 0
    const presented = place.kind === 'service' ? place.presented : null
    const rest = presented === null ? text : text.replace(presented, '')
    let made = 0
    for (const found of placeholdersIn(Buffer.from(rest, 'latin1'), HEADER_MARKS_MAXIMUM))
      if (found !== presented && made < FINDINGS_MAXIMUM && report(exchange, place, where, found)) made += 1
    return made
  }

  return {
    inHead(exchange, place) {
      const { head } = place
      let made = look(exchange, place, 'target', head.target)
      for (const [name, value] of head.headers) {
        if (made >= FINDINGS_MAXIMUM) return
        made += look(exchange, place, name, value)
      }
    },
    inBody(exchange, place, body) {
      if (body === null) return null
      const tell = (texts: readonly string[]): void => {
        for (const text of texts) report(exchange, place, 'body', text)
      }
      if (!(body instanceof Uint8Array)) return watched(body, createPlaceholderWatch(), tell)
      tell(placeholdersIn(body))
      return body
    },
    watch(exchange, place, where) {
      const watch = createPlaceholderWatch()
      return (chunk) => {
        for (const text of watch.push(chunk)) report(exchange, place, where, text)
      }
    },
  }
}

function watched(body: RequestBody, watch: PlaceholderWatch, tell: (texts: readonly string[]) => void): RequestBody {
  return {
    length: body.length,
    read: (sink) =>
      body.read({
        data(chunk) {
          tell(watch.push(chunk))
          sink.data(chunk)
        },
        end(trailers) {
          tell(watch.end())
          sink.end(trailers)
        },
        fail: (why) => sink.fail(why),
      }),
    pause: () => body.pause(),
    resume: () => body.resume(),
  }
}
