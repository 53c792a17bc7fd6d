import { KeywardError } from '../../../src/core/errors.ts'
import type { Fields } from './h2-wire.ts'
import type { Answer } from './wire.ts'

export type Door = 'base-url' | 'absolute' | 'tunnel'
/** Every front door of the gateway port. A service whose endpoint is plain HTTP stands behind all three. */
export const doors: readonly Door[] = ['base-url', 'absolute', 'tunnel']

export type Protocol = 'http/1.1' | 'h2'
export const protocols: readonly Protocol[] = ['http/1.1', 'h2']

/** A service with one credential, and the agent that may use it. */
export interface Held {
  readonly id: string
  readonly host: string
  readonly credentialId: string
  readonly agentId: string
  readonly grantId: string
  /** What the agent must never see. */
  secret(field?: string): string
}

/** What an agent holds. */
export interface Login {
  readonly id: string
  readonly token: string
  placeholder(held: Held, field?: string): string
}

export interface Ask {
  readonly door: Door
  readonly held: Pick<Held, 'id' | 'host'>
  readonly login?: Login
  readonly method?: string
  /** Path and query at the service. */
  readonly target?: string
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly body?: string | Uint8Array
  /** Default: HTTP/1.1. */
  readonly protocol?: Protocol
}

/** The bytes of a request as a well-behaved client of this door would write them, with `ask.headers` added as they are. */
export function requestBytes(stage: { readonly port: number }, ask: Ask): Buffer {
  const { door, held, login, method = 'GET', target = '/', headers = [], body } = ask
  const line = { 'base-url': `/s/${held.id}${target}`, absolute: `http://${held.host}${target}`, tunnel: target }[door]
  const lines = [`${method} ${line} HTTP/1.1`]
  if (!named(headers, 'host')) lines.push(`Host: ${door === 'base-url' ? `127.0.0.1:${stage.port}` : held.host}`)
  if (door === 'absolute' && login !== undefined && !named(headers, 'proxy-authorization'))
    lines.push(`Proxy-Authorization: ${proxyCredentials(login.token)}`)
  for (const [name, value] of headers) lines.push(`${name}: ${value}`)
  const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(body)
  if (body !== undefined && !named(headers, 'transfer-encoding') && !named(headers, 'content-length'))
    lines.push(`Content-Length: ${bytes.length}`)
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes])
}

/** The same for HTTP/2. A `host` or a pseudo-header among `ask.headers` takes the place of what would stand there. */
export function requestFields(stage: { readonly port: number }, ask: Ask): Fields {
  const { door, held, login, method = 'GET', target = '/', headers = [] } = ask
  const usual: Fields = [
    [':method', method],
    [':scheme', door === 'tunnel' ? 'https' : 'http'],
    [':authority', door === 'base-url' ? `127.0.0.1:${stage.port}` : held.host],
    [':path', door === 'base-url' ? `/s/${held.id}${target}` : target],
  ]
  const lower: Fields = headers.map(([name, value]) => [name.toLowerCase(), value])
  const pseudo = lower.filter(([name]) => name.startsWith(':'))
  const hosted = named(lower, 'host')
  return [
    ...usual.filter(([name]) => !named(pseudo, name) && !(hosted && name === ':authority')),
    ...pseudo,
    ...(door === 'absolute' && login !== undefined && !named(lower, 'proxy-authorization')
      ? [['proxy-authorization', proxyCredentials(login.token)] as const]
      : []),
    ...lower.filter(([name]) => !name.startsWith(':')),
    ...(ask.body === undefined || named(lower, 'content-length')
      ? []
      : [['content-length', String(Buffer.from(ask.body).length)] as const]),
  ]
}

export function connectHead(authority: string, token: string | null): string {
  const credentials = token === null ? '' : `Proxy-Authorization: ${proxyCredentials(token)}\r\n`
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`
}

export function proxyCredentials(token: string): string {
  return `Basic ${Buffer.from(`keyward:${token}`).toString('base64')}`
}

/** The code of a refusal, after checking that it is told as promised: problem JSON, header, status, title and next step. */
export function codeOf(answer: Answer): string {
  const problem: unknown = JSON.parse(answer.body.toString('utf8'))
  if (typeof problem !== 'object' || problem === null || !('code' in problem))
    throw new KeywardError('internal', 'no problem JSON')
  const record: Record<string, unknown> = { ...problem }
  const type = answer.headers.find(([name]) => name === 'content-type')?.[1]
  const told = answer.headers.find(([name]) => name === 'keyward-error')?.[1]
  if (type !== 'application/problem+json') throw new Error(`The content type of a refusal is ${type}`)
  if (told !== record['code']) throw new Error(`keyward-error says ${told}, the problem says ${String(record['code'])}`)
  if (record['status'] !== answer.status || typeof record['title'] !== 'string' || typeof record['next'] !== 'string')
    throw new Error('The problem is incomplete.')
  return String(record['code'])
}

function named(headers: readonly (readonly [string, string])[], name: string): boolean {
  return headers.some(([key]) => key.toLowerCase() === name)
}
