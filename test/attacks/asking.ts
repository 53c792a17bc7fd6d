import { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect } from 'vitest'
import { type Stage } from '../e2e/gateway/harness.ts'
import { codeOf, connectHead, requestBytes, type Ask, type Held, type Login } from '../e2e/gateway/requests.ts'
import { wireOf, type Answer, type Wire } from '../e2e/gateway/wire.ts'
import { frame } from '../e2e/gateway/h2-wire.ts'
import { fronts, type Front } from './attack.ts'

/** The fronts that speak HTTP/1.1: for attacks on its bytes. */
export const textFronts: readonly Front[] = fronts.filter(({ protocol }) => protocol === 'http/1.1')
/** The fronts at which the agent writes the host itself. */
export const textForward: readonly Front[] = textFronts.filter(({ door }) => door !== 'base-url')
export const textTunnel: readonly Front[] = textFronts.filter(({ door }) => door === 'tunnel')
export const textAbsolute: readonly Front[] = textFronts.filter(({ door }) => door === 'absolute')

export function bearer(login: Login, held: Held): readonly [string, string] {
  return ['Authorization', `Bearer ${login.placeholder(held)}`]
}

/** Asks as the agent of this front would, with the placeholder as a bearer unless other headers are given. */
export function ask(
  stage: Stage,
  front: Front,
  wanted: Omit<Ask, 'door'> & { readonly held: Held; readonly login: Login },
): Promise<Answer> {
  return stage.request({
    headers: [bearer(wanted.login, wanted.held)],
    ...wanted,
    door: front.door,
    protocol: front.protocol,
  })
}

/** The code of a refusal; of an answer that is none, its status, so that a failure says what came instead. */
export function outcomeOf(answer: Answer): string {
  const told = answer.headers.find(([name]) => name === 'keyward-error')?.[1]
  if (told === undefined) return `answered ${answer.status}`
  return answer.body.length === 0 ? told : codeOf(answer)
}

/** Writes bytes on a new connection to the port itself and reads one answer. Null: the connection was closed without one. */
export async function bare(stage: Stage, bytes: string | Uint8Array): Promise<Answer | null> {
  const wire = await stage.dial()
  wire.write(bytes)
  try {
    return await wire.answer()
  } catch {
    await wire.closed
    return null
  } finally {
    wire.close()
  }
}

/** The bytes of an ordinary request of this front, with `lines` put into its head as they are and `body` behind it. */
export function rawRequest(
  stage: Stage,
  front: Front,
  wanted: Omit<Ask, 'door' | 'body'> & {
    readonly held: Held
    readonly login: Login
    readonly lines?: string
    readonly body?: string
  },
): Buffer {
  const { lines = '', body = '', ...rest } = wanted
  const head = requestBytes(stage, { headers: [bearer(wanted.login, wanted.held)], ...rest, door: front.door })
  return Buffer.from(`${head.toString('latin1').slice(0, -2)}${lines}\r\n${body}`, 'latin1')
}

/** Sends them on a connection of this front and reads one answer. */
export async function askRaw(stage: Stage, front: Front, wanted: Parameters<typeof rawRequest>[2]): Promise<Answer> {
  const wire = await stage.open(front.door, wanted.held.host, wanted.login)
  wire.write(rawRequest(stage, front, wanted))
  const answer = await wire.answer({ method: wanted.method ?? 'GET' })
  wire.close()
  return answer
}

/** Nothing that an attacker received holds the secret. */
export function expectNothingOf(held: Held, ...received: readonly (Uint8Array | string)[]): void {
  for (const bytes of received) expect(Buffer.from(bytes).includes(held.secret()), 'the secret arrived').toBe(false)
}

/**
 * What becomes of a CONNECT to this authority: the code with which it is refused, or, where it is opened, the
 * outcome of `inside` in it. `closed`: the connection ended without an answer.
 */
export async function tunnelled(
  stage: Stage,
  authority: string,
  login: Login,
  inside = `GET / HTTP/1.1\r\nHost: ${authority}\r\n\r\n`,
): Promise<string> {
  const wire = await stage.dial()
  try {
    wire.write(connectHead(authority, login.token))
    const first = await wire.answer({ method: 'HEAD' }).catch(() => null)
    if (first === null) return 'closed'
    if (first.status !== 200) return outcomeOf(first)
    wire.write(inside)
    const second = await wire.answer().catch(() => null)
    return second === null ? 'closed' : outcomeOf(second)
  } finally {
    wire.close()
  }
}

/** Opens TLS inside a CONNECT with a server name of the caller's choosing; null: it was not let in. */
export async function secureInside(
  stage: Stage,
  authority: string,
  login: Login,
  serverName: string | null,
  protocol: 'http/1.1' | 'h2' = 'http/1.1',
): Promise<Wire | null> {
  const wire = await stage.dial()
  wire.write(connectHead(authority, login.token))
  const first = await wire.answer({ method: 'HEAD' })
  if (first.status !== 200) throw new Error(`CONNECT was answered ${outcomeOf(first)}`)
  const { socket } = wire
  if (!(socket instanceof Socket)) throw new Error('The wire is no socket.')
  socket.removeAllListeners('data')
  const secure = connectTls({
    socket,
    ca: stage.app.caCertificate,
    // Without a name to check against: whose certificate comes back is not what is tried here.
    checkServerIdentity: () => undefined,
    ALPNProtocols: [protocol],
    ...(serverName === null ? {} : { servername: serverName }),
  })
  return new Promise((done) => {
    secure.once('secureConnect', () => done(wireOf(secure)))
    for (const event of ['error', 'close', 'end']) secure.once(event, () => done(null))
  })
}

/** A connection of this front on which frames of HTTP/2 may be written as they are; the preface and empty SETTINGS are sent. */
export async function rawH2(stage: Stage, front: Front, host: string, login: Login): Promise<Wire> {
  const wire =
    front.door === 'tunnel' ? await secureInside(stage, `${host}:443`, login, host, 'h2') : await stage.dial()
  if (wire === null) throw new Error('The tunnel does not speak HTTP/2.')
  wire.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'), frame(4, 0, 0)]))
  return wire
}
