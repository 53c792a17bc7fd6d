import type { Duplex } from 'node:stream'
import type { HeaderPair, RequestHead } from '../core/request.ts'
import type { Service } from '../services/service.ts'
import type { Protocol } from './arrival.ts'
import type { UpstreamBody } from './body.ts'
import type { Refusal } from './refusal.ts'

/** Connections to one origin: more than one session may have in flight, so that no agent can take them all. */
export const CONNECTIONS_MAXIMUM = 4_096
/** Origins with open connections; past this the one used longest ago is closed. */
export const ORIGINS_MAXIMUM = 512
/** Model providers may think for minutes before the first byte. */
export const HEADERS_TIMEOUT_MILLISECONDS = 600_000
/** Silence between two pieces of a body. */
export const BODY_TIMEOUT_MILLISECONDS = 300_000

/** What comes back from the other side, in the order in which it comes. */
export interface AnswerListener {
  /** Bytes of the request's body that have gone out. */
  onSent(byteLength: number): void
  /** An interim answer (1xx) other than 100 and 101. */
  onInformation(status: number, headers: readonly HeaderPair[]): void
  onHead(status: number, headers: readonly HeaderPair[], flow: Flow): void
  onData(chunk: Uint8Array): void
  onEnd(trailers: readonly HeaderPair[]): void
  onFailure(refusal: Refusal): void
}

export interface UpgradeListener extends AnswerListener {
  /** The service agreed (101). The connection is paused and belongs to the listener. */
  onSwitch(headers: readonly HeaderPair[], connection: Duplex): void
}

/** Holds back or breaks off the answer. */
export interface Flow {
  pause(): void
  resume(): void
  abort(): void
}

export interface Dialler {
  /**
   * `service` null: a host that no service lists; no credential is in `head`. `protocol`: what the request
   * came over; HTTP/2 is offered to the service where it is that. Returns a way to break off before the answer begins.
   */
  send(
    head: RequestHead,
    body: UpstreamBody,
    service: Service | null,
    listener: AnswerListener,
    protocol: Protocol,
  ): { abort(): void }
  /** Sends a request that asks to go on with another protocol, over a connection of its own that nobody uses before or after. */
  upgrade(head: RequestHead, service: Service | null, listener: UpgradeListener): { abort(): void }
  close(): Promise<void>
}
