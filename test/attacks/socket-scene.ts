import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { proxyCredentials, type Held, type Login } from '../e2e/gateway/requests.ts'
import { dialSocket, type DialOptions, type Dialled } from '../e2e/gateway/socket-client.ts'
import { startRawUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import type { Front } from './attack.ts'

/** A WebSocket is opened over HTTP/1.1 alone; over HTTP/2 there is none. */
export const overHttp1 = (fronts: readonly Front[]): readonly Front[] =>
  fronts.filter(({ protocol }) => protocol === 'http/1.1')

/** A hostile service that speaks WebSocket byte by byte, and an agent that works with it. */
export interface SocketScene {
  readonly stage: Stage
  readonly upstream: Upstream
  readonly held: Held
  readonly login: Login
  /** What the service writes once it has the request: it knows the key that came with it. */
  answer(next: (socket: Socket, asked: Asked) => void): void
  dial(front: Front, options?: DialOptions): Promise<Dialled>
  /** The bytes of a request for another protocol, as this front takes it. */
  asking(front: Front, upgrade: string): string
  close(): Promise<void>
}

export interface Asked {
  /** The secret, as the service received it. */
  readonly key: string
  /** The head of a proper agreement, with further header lines. */
  agreed(more?: string): string
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

export async function openSocketScene(): Promise<SocketScene> {
  const stage = await openStage()
  let talk: (socket: Socket, asked: Asked) => void = (socket) => void socket.end()
  const upstream = await startRawUpstream((socket) => {
    let head = ''
    const onData = (chunk: Buffer): void => {
      head += chunk.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', onData)
      const nonce = /sec-websocket-key: (\S+)/i.exec(head)?.[1] ?? ''
      const accept = createHash('sha1')
        .update(nonce + GUID)
        .digest('base64')
      talk(socket, {
        key: /authorization: Bearer (\S+)/i.exec(head)?.[1] ?? '',
        agreed: (more = '') =>
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${more}\r\n`,
      })
    }
    socket.on('data', onData)
  })
  const held = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  const login = await stage.login('triage')
  return {
    stage,
    upstream,
    held,
    login,
    answer: (next) => void (talk = next),
    dial: (front, options) => dialSocket(stage, front.door, held, login, options),
    asking(front, upgrade) {
      const target = { 'base-url': `/s/${held.id}/x`, absolute: `http://${held.host}/x`, tunnel: '/x' }[front.door]
      const host = front.door === 'base-url' ? `127.0.0.1:${stage.port}` : held.host
      const proxy = front.door === 'absolute' ? `Proxy-Authorization: ${proxyCredentials(login.token)}\r\n` : ''
      return `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${proxy}Authorization: Bearer ${login.placeholder(held)}\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`
    },
    async close() {
      await stage.close()
      await upstream.close()
    },
  }
}

/** Everything that the agent can see of one connection: the answer, the messages, the Close. */
export async function allThat(dialled: Dialled): Promise<string> {
  const seen: string[] = []
  const { socket } = dialled
  socket.on('upgrade', (response) => seen.push(response.rawHeaders.join('\n')))
  socket.on('unexpected-response', (_request, response) => {
    seen.push(response.rawHeaders.join('\n'))
    response.on('data', (piece: Buffer) => seen.push(piece.toString('latin1')))
    response.on('close', () => socket.terminate())
  })
  socket.on('message', (data: Buffer) => seen.push(data.toString('latin1')))
  for (const kind of ['ping', 'pong'] as const) socket.on(kind, (data: Buffer) => seen.push(data.toString('latin1')))
  dialled.open.catch(() => undefined)
  const { code, reason } = await dialled.closed
  seen.push(`${code} ${reason}`)
  return seen.join('\n')
}

/** Fails if any eight consecutive bytes of the secret can be read in the text. */
export function expectNothingOf(secret: string, text: string): void {
  const starts = Array.from({ length: secret.length - 7 }, (_, at) => at)
  expect(
    starts.find((at) => text.includes(secret.slice(at, at + 8))),
    'readable from this byte on',
  ).toBeUndefined()
}
