import { Duplex } from 'node:stream'
import type { Arrival } from '../../../src/gateway/arrival.ts'
import type { Front } from '../../../src/gateway/codec.ts'
import { createHttp1Codec } from '../../../src/gateway/http1/server.ts'
import type { HeaderPair } from '../../../src/core/request.ts'
import { quiet, type ReadRequest, type Reading } from './reference.ts'
import { nowhere } from '../../../src/gateway/peer-gate.ts'

interface Taken {
  readonly arrival: Arrival
  readonly body: Buffer[]
  trailers: readonly HeaderPair[]
  whole: boolean
}

/**
 * Reads requests with Keyward's own codec, in memory: `pieces` arrive one after the other, each request is
 * answered when it is whole. The version is not part of an arrival; it is always given as 1.1.
 */
export async function readWithOwn(pieces: Uint8Array | readonly Uint8Array[]): Promise<Reading> {
  const taken: Taken[] = []
  let error: string | null = null
  const front: Front = {
    request(arrival, body, reply) {
      const one: Taken = { arrival, body: [], trailers: [], whole: false }
      taken.push(one)
      body.read({
        data: (piece) => void one.body.push(Buffer.from(piece)),
        end(trailers) {
          one.whole = true
          one.trailers = trailers
          reply.respond(200, [['content-length', '0']], new Uint8Array(0))
        },
        fail(refusal) {
          if (refusal === null) return
          error ??= refusal.refusal
          reply.destroy()
        },
      })
    },
    connect(arrival, connection) {
      taken.push({ arrival, body: [], trailers: [], whole: true })
      connection.stream.destroy()
    },
    malformed(_connection, refusal) {
      error ??= refusal.refusal
      return Promise.resolve(refusal)
    },
    preface(connection) {
      error ??= 'preface'
      connection.stream.destroy()
    },
  }
  const codec = createHttp1Codec(front)
  const wire = new Duplex({ read: () => undefined, write: (_chunk, _coding, done) => done() })
  wire.on('error', () => undefined)
  codec.serve({ stream: wire, peer: '', remote: nowhere, tunnel: null })
  for (const piece of pieces instanceof Uint8Array ? [pieces] : pieces) {
    if (wire.destroyed || error !== null) break
    wire.push(piece)
    await quiet()
  }
  const requests = taken.map(readOf)
  const open = !wire.destroyed && !wire.writableEnded
  wire.destroy()
  codec.close()
  return { requests, error, waiting: open && (requests.some(({ whole }) => !whole) || requests.length === 0) }
}

function readOf({ arrival, body, trailers, whole }: Taken): ReadRequest {
  return {
    method: arrival.method,
    target: arrival.rawTarget,
    version: '1.1',
    headers: arrival.headers,
    body: Buffer.concat(body),
    trailers,
    whole,
  }
}
