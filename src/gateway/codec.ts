import type { Duplex } from 'node:stream'
import type { Peer } from '../identity/peer.ts'
import type { Arrival, Tunnel } from './arrival.ts'
import type { RequestBody } from './body.ts'
import type { Refusal } from './refusal.ts'
import type { Reply } from './reply.ts'

/** One connection to the gateway, or what comes out of a tunnel. */
export interface Connection {
  readonly stream: Duplex
  /** Address of the other end; empty for a Unix socket. */
  readonly peer: string
  /** The whole of it; what comes out of a tunnel has that of the connection that the tunnel came on. */
  readonly remote: Peer
  readonly tunnel: Tunnel | null
}

/** What a codec does with what it has read. */
export interface Front {
  request(arrival: Arrival, body: RequestBody, reply: Reply): void
  /** A CONNECT outside a tunnel. The codec has let go of the connection; `early` came behind the head. */
  connect(arrival: Arrival, connection: Connection, early: Uint8Array): void
  /** What never became a request. Resolves with what to tell, once it is written down. */
  malformed(connection: Connection, refusal: Refusal): Promise<Refusal>
  /** The client speaks HTTP/2 without TLS (RFC 9113 section 3.3). The codec has let go of the connection and put back what it had read. */
  preface(connection: Connection): void
}

/** Reads requests off connections, one protocol each. */
export interface Codec {
  serve(connection: Connection): void
  close(): void
}
