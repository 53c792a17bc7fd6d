import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'

/** For one answer of a service that guards a root key, from the first byte sent to the last one read. */
export const ROOT_KEY_ANSWER_MILLISECONDS = 10_000
export const ROOT_KEY_ANSWER_MAXIMUM_BYTES = 64 * 1024
/** Of a file with a token or with credentials. */
export const ROOT_KEY_TOKEN_MAXIMUM_BYTES = 16 * 1024

export interface Question {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** A file with authorities of its own, instead of the system's. */
  readonly caFile: string | null
}

export interface ServiceAnswer {
  readonly status: number
  /** Parsed JSON; undefined where it is none. */
  readonly body: unknown
}

/** Whether a service may be asked at this address: over TLS, or in clear where nothing leaves the machine. */
export function isSafeUrl(url: URL): boolean {
  if (url.username !== '' || url.password !== '' || url.hash !== '') return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopbackName(url.hostname))
}

function isLoopbackName(host: string): boolean {
  return /^127(?:\.\d{1,3}){3}$/.test(host) || host === '[::1]' || host === 'localhost'
}

/**
 * One question and its answer. No redirect is followed: what a service wants to be asked elsewhere is an answer
 * like any other, and no success. Throws `root_key_unreachable`, whose detail names the host and nothing that was
 * sent or answered.
 */
export async function ask(question: Question, milliseconds = ROOT_KEY_ANSWER_MILLISECONDS): Promise<ServiceAnswer> {
  const { method, url, headers, body, caFile } = question
  const ca = caFile === null ? {} : { ca: readAuthorities(caFile) }
  const { promise, resolve, reject } = Promise.withResolvers<ServiceAnswer>()
  const fail = (why: string, cause?: unknown): void =>
    reject(new KeywardError('root_key_unreachable', `${url.host}: ${why}.`, { cause }))
  const deadline = AbortSignal.timeout(milliseconds)
  const send = url.protocol === 'https:' ? requestHttps : requestHttp
  const sent = send(url, { method, headers, agent: false, signal: deadline, ...ca }, (answer) => {
    const pieces: Buffer[] = []
    let size = 0
    answer.on('data', (piece: Buffer) => {
      size += piece.byteLength
      if (size > ROOT_KEY_ANSWER_MAXIMUM_BYTES) {
        fail(`its answer is longer than ${ROOT_KEY_ANSWER_MAXIMUM_BYTES} bytes`)
        answer.destroy()
      } else pieces.push(piece)
    })
    answer.on('end', () => {
      const whole = Buffer.concat(pieces)
      resolve({ status: answer.statusCode ?? 0, body: parse(whole.toString('utf8')) })
      whole.fill(0)
      for (const piece of pieces) piece.fill(0)
    })
    answer.on('error', (error) => fail('it broke off its answer', error))
  })
  sent.on('error', (error) => {
    if (deadline.aborted) fail(`no answer within ${milliseconds / 1000} s`)
    else fail(reasonOf(error), error)
  })
  sent.end(body)
  return promise
}

/** A token or credentials from a file that strangers cannot read. */
export async function readTokenFile(path: string): Promise<Secret> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new KeywardError('root_key_missing', `Cannot open ${path}.`, { cause: error })
  })
  try {
    const about = await file.stat()
    // Orchestrators mount secrets for a group; everybody is nobody's group.
    if ((about.mode & 0o007) !== 0) throw new KeywardError('root_key_unsafe', path)
    const bytes = Buffer.alloc(ROOT_KEY_TOKEN_MAXIMUM_BYTES + 1)
    const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, 0)
    if (bytesRead === 0 || bytesRead > ROOT_KEY_TOKEN_MAXIMUM_BYTES)
      throw new KeywardError('root_key_missing', `${path} is empty or too long.`)
    const token = new Secret('token', bytes.subarray(0, bytesRead))
    bytes.fill(0)
    return token
  } finally {
    await file.close()
  }
}

function readAuthorities(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new KeywardError('config_invalid', `KEYWARD_ROOT_KEY_CA_FILE: ${path} cannot be read.`, { cause: error })
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The error's code, which is fixed text; its message may quote what a stranger sent. */
function reasonOf(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return /^[A-Z][A-Z0-9_]{2,63}$/.test(code) ? code : 'it cannot be reached'
}
