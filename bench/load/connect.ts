import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Target } from './job.ts'

export const NO_HTTP2 = 'it does not speak HTTP/2'
const CONNECT_TIMEOUT_MILLISECONDS = 30_000

/** A connection on which the target's protocol can be spoken: through the tunnel, inside TLS, verified. */
export async function connectTo(target: Target): Promise<Socket> {
  const socket = connectTcp({ host: '127.0.0.1', port: target.port, noDelay: true })
  await happens(socket, 'connect')
  if (target.tunnel !== null) await openTunnel(socket, target.tunnel)
  if (target.tls === null) return socket
  const secure = connectTls({
    socket,
    ca: target.tls.ca,
    servername: target.tls.serverName,
    ALPNProtocols: [target.protocol === 'http2' ? 'h2' : 'http/1.1'],
  })
  await happens(secure, 'secureConnect').catch((error: unknown) => {
    // RFC 7301, 3.2: the server ends the handshake where no protocol is common.
    throw isCode(error, 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL') ? new Error(NO_HTTP2) : error
  })
  if (target.protocol === 'http2' && secure.alpnProtocol !== 'h2') {
    secure.destroy()
    throw new Error(NO_HTTP2)
  }
  return secure
}

async function openTunnel(socket: Socket, tunnel: NonNullable<Target['tunnel']>): Promise<void> {
  const authorization = tunnel.authorization === null ? '' : `proxy-authorization: ${tunnel.authorization}\r\n`
  socket.write(`CONNECT ${tunnel.authority} HTTP/1.1\r\nhost: ${tunnel.authority}\r\n${authorization}\r\n`)
  const answer = await new Promise<string>((done, fail) => {
    let text = ''
    const onData = (bytes: Buffer): void => {
      text += bytes.toString('latin1')
      if (!text.includes('\r\n\r\n')) return
      socket.removeListener('data', onData)
      socket.pause()
      done(text)
    }
    socket.on('data', onData)
    socket.once('close', () => fail(new Error('the tunnel was closed')))
  })
  if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`CONNECT was answered ${answer.slice(9, 12)}`)
}

function happens(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((done, fail) => {
    const timer = setTimeout(() => socket.destroy(new Error(`no ${event} in time`)), CONNECT_TIMEOUT_MILLISECONDS)
    socket.once(event, () => {
      clearTimeout(timer)
      socket.removeListener('error', fail)
      done()
    })
    socket.once('error', (error) => {
      clearTimeout(timer)
      fail(error)
    })
  })
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
