import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { KeywardError } from '../core/errors.ts'
import type { Tunnel } from './arrival.ts'
import type { Authority } from './certificates.ts'
import type { Codec, Connection } from './codec.ts'
import type { ExchangePorts } from './exchange.ts'
import { recordRefusal } from './record.ts'
import { refusedTo } from './refusal.ts'
import { REQUEST_HEAD_MILLISECONDS } from './http1/server.ts'
import { CONNECTED, TUNNEL_IDLE_MILLISECONDS } from './tunnel.ts'

/** Answers a CONNECT and reads what comes through it: in the clear, or behind TLS with a leaf for the tunnel's host. */
export function openTunnel(
  { stream, peer, remote }: Connection,
  tunnel: Tunnel,
  authority: Authority,
  codecs: { readonly http1: Codec; readonly http2: Codec },
  ports: ExchangePorts,
): void {
  if (!(stream instanceof Socket)) return
  const remove = ports.inflight.add({
    sessionId: tunnel.caller.sessionId,
    agentId: tunnel.caller.agentId,
    narrowed: tunnel.caller.narrowed,
    credentialId: null,
    end: () => void stream.destroy(),
  })
  stream.once('close', remove)
  stream.setTimeout(TUNNEL_IDLE_MILLISECONDS, () => stream.destroy())
  stream.write(CONNECTED)
  if (tunnel.scheme === 'http') return codecs.http1.serve({ stream, peer, remote, tunnel })
  const secure = new TLSSocket(stream, {
    isServer: true,
    secureContext: authority.contextFor(tunnel.host),
    ALPNProtocols: ['h2', 'http/1.1'],
    SNICallback: (name, done) => {
      if (name.toLowerCase().replace(/\.$/, '') === tunnel.host) return done(null, authority.contextFor(tunnel.host))
      const refusal = refusedTo(tunnel.caller, { refusal: 'host_mismatch' })
      void recordRefusal(refusal, { door: 'tunnel', host: tunnel.host }, ports).then(() =>
        done(new KeywardError('host_mismatch')),
      )
    },
  })
  secure.on('error', () => stream.destroy())
  // A handshake that never ends is a head that never ends.
  const timer = setTimeout(() => stream.destroy(), REQUEST_HEAD_MILLISECONDS)
  secure.once('close', () => clearTimeout(timer))
  secure.once('secure', () => {
    clearTimeout(timer)
    const codec = secure.alpnProtocol === 'h2' ? codecs.http2 : codecs.http1
    codec.serve({ stream: secure, peer, remote, tunnel })
  })
}
