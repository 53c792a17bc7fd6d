import { digestOfBody } from '../../core/approval-digest.ts'
import { placeholdersIn } from '../../core/placeholder-watch.ts'
import type { Asked } from '../../core/policy.ts'
import { headerValues } from '../../core/request.ts'
import { scrubBytes } from '../../core/scrub.ts'
import { excerptOf, visibleText } from '../../core/visible-text.ts'
import type { Records } from '../../vault/records.ts'
import type { Arrival } from '../arrival.ts'
import type { Judgement } from '../judge.ts'
import type { Located } from '../locate.ts'
import type { NeedleSource } from '../needle-source.ts'
import { WEBSOCKET } from '../websocket/handshake.ts'

/** Characters of a body, a target and the names of operations that a person is shown. */
export const APPROVAL_EXCERPT_CHARACTERS = 2_048
const NAME_CHARACTERS = 64
const TYPE_CHARACTERS = 128

/**
 * What a person is shown of a request: what Keyward itself knows first, then what the agent wrote, with everything
 * that a terminal would obey or hide written out, and neither placeholders nor secrets in it.
 */
export interface ApprovalFacts {
  readonly agent: string
  readonly environment: string
  readonly session: string
  readonly credential: string
  readonly service: string
  readonly operation: string | null
  readonly destructive: boolean
  /** The grant that asks, and its rule. */
  readonly grant: string
  readonly rule: string
  readonly method: string
  /** `https://host` and the port, where it is not the usual one. */
  readonly origin: string
  /** Whether messages may go both ways afterwards, about which nobody is asked. */
  readonly opensWebSocket: boolean
  readonly target: Excerpt
  /** Names of the headers that go out; their values are not shown. */
  readonly headers: readonly string[]
  readonly body: Excerpt & { readonly bytes: number; readonly sha256: string; readonly type: string | null }
}

/** `cut`: not all of it is here. */
export interface Excerpt {
  readonly text: string
  readonly cut: boolean
}

export interface FactsPorts {
  readonly needles: NeedleSource
  readonly records: Pick<Records, 'get'>
}

export function factsOfApproval(
  { upgrade }: Pick<Arrival, 'upgrade'>,
  place: Located,
  { decision, operation }: Judgement,
  ask: Asked,
  body: Uint8Array,
  ports: FactsPorts,
): ApprovalFacts {
  const { caller, head, service } = place
  const usual = head.port === (head.scheme === 'https' ? 443 : 80)
  const host = head.host.includes(':') ? `[${head.host}]` : head.host
  const shown = (text: string): Excerpt => shownOf(Buffer.from(text, 'latin1'), place, ports)
  const type = headerValues(head.headers, 'content-type')[0]
  return {
    agent: caller.agent,
    environment: caller.environment,
    session: caller.sessionId,
    credential: ports.records.get('credential', place.credentialId)?.name ?? place.credentialId,
    service: service.id,
    operation: operation === null ? null : visibleText(excerptOf(operation, APPROVAL_EXCERPT_CHARACTERS).text),
    destructive: decision.destructive,
    grant: ask.grant,
    rule: ask.rule,
    method: head.method,
    origin: `${head.scheme}://${host}${usual ? '' : `:${head.port}`}`,
    opensWebSocket: upgrade === WEBSOCKET,
    target: shown(head.target),
    headers: head.headers.map(([name]) => excerptOf(name, NAME_CHARACTERS).text),
    body: {
      bytes: body.byteLength,
      sha256: digestOfBody(body),
      type: type === undefined ? null : shown(type).text.slice(0, TYPE_CHARACTERS),
      ...shownOf(body, place, ports),
    },
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

function shownOf(bytes: Uint8Array, { presented }: Located, { needles }: FactsPorts): Excerpt {
  let text = utf8.decode(scrubBytes(needles.of('', null), bytes).bytes)
  if (presented !== null) text = text.replaceAll(presented, '[placeholder]')
  for (const found of placeholdersIn(bytes)) text = text.replaceAll(found, '[placeholder]')
  const excerpt = excerptOf(text, APPROVAL_EXCERPT_CHARACTERS)
  return { text: visibleText(excerpt.text), cut: excerpt.cut }
}
