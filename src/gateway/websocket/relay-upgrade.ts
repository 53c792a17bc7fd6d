import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { ErrorCode } from '../../core/errors.ts'
import type { NeedleSet } from '../../core/needles.ts'
import { headerValues, type HeaderPair } from '../../core/request.ts'
import { scrubText } from '../../core/scrub.ts'
import { answerTrailers } from '../answer.ts'
import type { AnswerListener, Dialler, Flow, UpgradeListener } from '../dial.ts'
import { withoutHopByHop } from '../hop-by-hop.ts'
import { isRefusal, sendRefusal, type Refusal } from '../refusal.ts'
import { relay, type RelayEnd, type RelayOptions } from '../relay.ts'
import { carry } from './carry.ts'
import { acceptOf, offeredProtocols, readAgreement, upgradeHeaders } from './handshake.ts'
import type { FrameSwap } from './swap.ts'

export interface UpgradeOptions extends Omit<RelayOptions, 'body' | 'dialler' | 'needles'> {
  readonly dialler: Pick<Dialler, 'upgrade'>
  /** The headers as the agent sent them: its key, and the subprotocols as it knows them. */
  readonly asked: readonly HeaderPair[]
  /** Asked anew for each message, because a connection may live longer than a secret. */
  readonly needles: (() => NeedleSet) | null
  readonly swap: FrameSwap | null
  /** Why an open connection may not go on, or null. */
  readonly check: () => ErrorCode | null
  /** Sees what the agent says. */
  readonly notice: (piece: Uint8Array) => void
}

/** Asks the service for a WebSocket. Carries its messages if it agrees; any other answer is brought back like every answer. */
export function relayUpgrade(options: UpgradeOptions): Promise<RelayEnd> {
  return new Promise((done, fail) => new Opening(options, done, fail).start())
}

class Opening implements UpgradeListener {
  readonly #options: UpgradeOptions
  readonly #done: (end: RelayEnd) => void
  readonly #fail: (error: unknown) => void
  readonly #key = randomBytes(16).toString('base64')
  #over = false
  #abort: () => void = () => undefined
  #unwatch: () => void = () => undefined
  /** Who takes an answer that is none to the upgrade. */
  #ordinary: AnswerListener | null = null

  constructor(options: UpgradeOptions, done: (end: RelayEnd) => void, fail: (error: unknown) => void) {
    this.#options = options
    this.#done = done
    this.#fail = fail
  }

  start(): void {
    const { head, service, dialler, reply, watch } = this.#options
    this.#unwatch = watch((code) => this.#finish('ended', code, { refusal: code }))
    reply.onClose(() => this.#finish('aborted', null, null))
    if (this.#over) return
    const { abort } = dialler.upgrade({ ...head, headers: upgradeHeaders(head.headers, this.#key) }, service, this)
    this.#abort = abort
  }

  onSwitch(headers: readonly HeaderPair[], upstream: Duplex): void {
    if (this.#over) return void upstream.destroy()
    try {
      this.#switch(headers, upstream)
    } catch (error) {
      upstream.destroy()
      this.#over = true
      this.#unwatch()
      this.#fail(error)
    }
  }

  #switch(headers: readonly HeaderPair[], upstream: Duplex): void {
    const { reply, asked, head, needles, swap, notice, check, watch } = this.#options
    const offered = offeredProtocols(head.headers)
    const wanted = offeredProtocols(asked)
    const agreed = isRefusal(offered) ? offered : readAgreement(headers, { key: this.#key, offered })
    const known = needles?.() ?? null
    const protocol =
      isRefusal(agreed) || agreed.protocol === null || known === null ? null : scrubText(known, agreed.protocol).text
    const chosen = known === null && !isRefusal(agreed) ? agreed.protocol : protocol
    if (isRefusal(agreed) || isRefusal(wanted) || (chosen !== null && !wanted.includes(chosen))) {
      upstream.destroy()
      return this.#finish('refused', 'upstream_broken', isRefusal(agreed) ? agreed : { refusal: 'upstream_broken' })
    }
    const { switching } = reply
    if (switching?.clean !== true) {
      upstream.destroy()
      return this.#finish('refused', 'request_malformed', {
        refusal: 'request_malformed',
        detail: 'Bytes came before the WebSocket was open.',
      })
    }
    this.#over = true
    this.#unwatch()
    const told = passed(headers, known)
    const client = switching.begin([
      ...told.headers,
      ['connection', 'Upgrade'],
      ['upgrade', 'websocket'],
      ['sec-websocket-accept', acceptOf(headerValues(asked, 'sec-websocket-key')[0] ?? '')],
      ...(chosen === null ? [] : [['sec-websocket-protocol', chosen] as const]),
    ])
    carry({ client, upstream, needles, swap, notice, check, watch }).then(
      (end) => this.#done({ ...end, scrubbed: end.scrubbed + told.hits }),
      this.#fail,
    )
  }

  /** Not the answer that was asked for: from here on it is one like any other. */
  onHead(status: number, headers: readonly HeaderPair[], flow: Flow): void {
    if (this.#over) return flow.abort()
    this.#over = true
    this.#unwatch()
    const { needles, ...options } = this.#options
    relay({
      ...options,
      body: null,
      needles: needles?.() ?? null,
      dialler: {
        send: (_head, _body, _service, listener) => {
          this.#ordinary = listener
          listener.onHead(status, headers, flow)
          return { abort: () => flow.abort() }
        },
      },
    }).then(this.#done, this.#fail)
  }

  onSent(): void {}

  /** An interim answer tells nothing that a client of WebSockets would wait for. */
  onInformation(): void {}

  onData(chunk: Uint8Array): void {
    this.#ordinary?.onData(chunk)
  }

  onEnd(trailers: readonly HeaderPair[]): void {
    this.#ordinary?.onEnd(trailers)
  }

  onFailure(refusal: Refusal): void {
    if (this.#ordinary !== null) this.#ordinary.onFailure(refusal)
    else this.#finish('refused', refusal.refusal, refusal)
  }

  #finish(outcome: RelayEnd['outcome'], code: ErrorCode | null, refusal: Refusal | null): void {
    if (this.#over) return
    this.#over = true
    this.#unwatch()
    this.#abort()
    if (refusal !== null) sendRefusal(this.#options.reply, refusal)
    this.#done({ outcome, code, status: null, bytesUp: 0, bytesDown: 0, scrubbed: 0 })
  }
}

/** The headers of the agreement as the agent gets them: what belongs to either connection is written anew. */
function passed(
  headers: readonly HeaderPair[],
  needles: NeedleSet | null,
): { readonly headers: readonly HeaderPair[]; readonly hits: number } {
  const kept = headers.filter(([name]) => !name.startsWith('sec-websocket-'))
  if (needles !== null) return answerTrailers(kept, needles)
  return { headers: withoutHopByHop(kept).filter(([name]) => !name.startsWith('keyward-')), hits: 0 }
}
