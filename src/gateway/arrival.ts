import type { HeaderPair } from '../core/request.ts'
import type { Peer } from '../identity/peer.ts'
import type { Caller } from '../identity/sessions.ts'

/** The front doors of the gateway port. */
export type Door = 'base-url' | 'absolute' | 'tunnel'

/** What the connection speaks. Authority and path of HTTP/2 arrive as the target and the Host header that HTTP/1.1 would have. */
export type Protocol = 'http/1.1' | 'h2'

/** A request as a codec read it, before anybody has judged it. Header names are lower-case, values as received. */
export interface Arrival {
  readonly door: Door
  readonly protocol: Protocol
  readonly method: string
  /** As written on the request line. */
  readonly rawTarget: string
  readonly headers: readonly HeaderPair[]
  /** Address of the other end of the connection. */
  readonly peer: string
  /** The whole of it, one object a connection: what was found out about it is remembered with it. */
  readonly remote: Peer
  /** Set for requests inside a CONNECT tunnel. */
  readonly tunnel: Tunnel | null
  /** The protocol that the client asks to go on with (Upgrade), in lower case. */
  readonly upgrade: string | null
}

/** What the CONNECT settled for every request inside. */
export interface Tunnel {
  readonly caller: Caller
  readonly host: string
  readonly port: number
  readonly scheme: 'https' | 'http'
}
