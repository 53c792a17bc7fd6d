import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { Pool, type Dispatcher } from 'undici'
import type { HeaderPair, RequestHead } from '../core/request.ts'
import type { Service } from '../services/service.ts'
import type { RequestBody } from './body.ts'
import { connector, connectRefusal, NotConnected } from './connect.ts'
import { CONNECTIONS_MAXIMUM, ORIGINS_MAXIMUM, type Dialler } from './dial.ts'
import type { Resolve } from './egress.ts'
import type { ClientTimes } from './http1/client.ts'
import { HEAD_MAXIMUM_BYTES } from './http1/head.ts'
import { originKey } from './origins.ts'
import type { Refusal } from './refusal.ts'

class Aborted extends Error {}

/** HTTP/1.1 as undici writes and reads it. */
export function createLibraryDialler(resolve: Resolve, times: ClientTimes): Dialler {
  const pools = new Map<string, Pool>()

  function poolFor(head: RequestHead, service: Service | null): Pool {
    const key = originKey(head, service)
    const known = pools.get(key)
    if (known !== undefined) {
      pools.delete(key)
      pools.set(key, known)
      return known
    }
    const oldest = pools.entries().next()
    if (pools.size >= ORIGINS_MAXIMUM && !oldest.done) {
      pools.delete(oldest.value[0])
      void oldest.value[1].close()
    }
    const authority = head.host.includes(':') ? `[${head.host}]` : head.host
    const open = connector(head, service, { resolve, protocols: ['http/1.1'] })
    const pool = new Pool(`${head.scheme}://${authority}:${head.port}`, {
      connections: CONNECTIONS_MAXIMUM,
      pipelining: 1,
      headersTimeout: times.headMilliseconds,
      bodyTimeout: times.bodyMilliseconds,
      maxHeaderSize: HEAD_MAXIMUM_BYTES,
      connect: (_options, callback) =>
        void open().then(
          (socket: Socket) => callback(null, socket),
          (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
        ),
    })
    pools.set(key, pool)
    return pool
  }

  return {
    send(head, body, service, listener) {
      let controller: Dispatcher.DispatchController | null = null
      let aborted = false
      const headers: string[] = []
      for (const [name, value] of head.headers) headers.push(name, value)
      poolFor(head, service).dispatch(
        {
          path: head.target,
          method: head.method,
          headers,
          body: body === null || body instanceof Uint8Array ? body : readableOf(body),
        },
        {
          onRequestStart(started) {
            controller = started
            if (aborted) started.abort(new Aborted())
          },
          onBodySent: (chunk: Uint8Array) => listener.onSent(chunk.byteLength),
          onResponseStart(started, status) {
            if (status < 200) return listener.onInformation(status, pairsOf(started.rawHeaders))
            listener.onHead(status, pairsOf(started.rawHeaders), {
              pause: () => started.pause(),
              resume: () => started.resume(),
              abort: () => started.abort(new Aborted()),
            })
          },
          onResponseData: (_controller, chunk) => listener.onData(chunk),
          onResponseEnd: (ended) => listener.onEnd(pairsOf(ended.rawTrailers)),
          onResponseError: (_controller, error) => listener.onFailure(refusalOf(error)),
        },
      )
      return {
        abort() {
          aborted = true
          controller?.abort(new Aborted())
        },
      }
    },
    upgrade(_head, _service, listener) {
      listener.onFailure({ refusal: 'upgrade_refused' })
      return { abort: () => undefined }
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()))
      pools.clear()
    },
  }
}

/** The body as undici wants it; the stream asks for more only when undici does. */
function readableOf(body: RequestBody): Readable {
  let begun = false
  const stream = new Readable({
    read() {
      if (begun) return body.resume()
      begun = true
      body.read({
        data(chunk) {
          if (!stream.push(chunk)) body.pause()
        },
        end: () => void stream.push(null),
        fail: (why) => void stream.destroy(why === null ? new Aborted() : new NotConnected(why)),
      })
    },
  })
  return stream
}

function pairsOf(raw: Dispatcher.DispatchController['rawHeaders']): HeaderPair[] {
  if (!Array.isArray(raw)) return []
  const pairs: HeaderPair[] = []
  for (let index = 0; index + 1 < raw.length; index += 2) {
    pairs.push([textOf(raw[index]).toLowerCase(), textOf(raw[index + 1])])
  }
  return pairs
}

function textOf(value: Buffer | string | undefined): string {
  return typeof value === 'string' ? value : (value?.toString('latin1') ?? '')
}

function refusalOf(error: Error): Refusal {
  if (error instanceof NotConnected) return error.refusal
  if (error.cause instanceof NotConnected) return error.cause.refusal
  return connectRefusal(error)
}
