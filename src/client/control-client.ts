import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { request as secureRequest } from 'node:https'
import type { Answers, RouteName } from '../api/answers.ts'
import type { InputSent, PathOf } from '../api/schema.ts'
import { isErrorCode, KeywardError } from '../core/errors.ts'
import type { JournalEntry } from '../journal/entry.ts'

/** How long a call may take; the stream of the journal has no end of its own and is not timed. */
const CALL_TIMEOUT_MILLISECONDS = 30_000
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
const MAX_LINE_CHARACTERS = 1024 * 1024

/** A server elsewhere: where its control API is, and who asks. */
export interface RemoteServer {
  /** `https://host:port`, or `http://` on loopback. */
  readonly url: URL
  /** A person's login; null: nobody is logged in yet. */
  readonly token: string | null
  /** PEM text of the authorities to trust instead of the usual ones. */
  readonly authority: string | null
  /** What a machine shows of itself, in PEM. */
  readonly client?: { readonly certificate: string; readonly key: string }
}

/**
 * Speaks to the control API over its Unix socket, or to that of a server elsewhere. Problems come back as
 * KeywardError with their own code; a server that does not answer is `server_unreachable`.
 */
export interface ControlClient {
  call<R extends Exclude<RouteName, 'GET /journal' | 'POST /backups'>>(
    route: R,
    path: PathOf<R>,
    input: InputSent<R>,
    /** Make the change only if the record is still the one that was read with this tag. */
    ifMatch?: string,
  ): Promise<Answers[R]>
  /** The same, with the tag by which a change can be tied to what was read; null where it has none. */
  read<R extends Exclude<RouteName, 'GET /journal' | 'POST /backups'>>(
    route: R,
    path: PathOf<R>,
  ): Promise<{ readonly answer: Answers[R]; readonly tag: string | null }>
  /** Entries of the journal, as they come. Ends by itself unless `follow` is yes, or when `signal` fires. */
  journal(input: InputSent<'GET /journal'>, signal?: AbortSignal): AsyncIterable<JournalEntry>
  /** A backup as it is made, with the id by which it is known until it is kept. Ending early ends it there, too. */
  backup(input: InputSent<'POST /backups'>): Promise<{ readonly id: string; readonly bytes: AsyncGenerator<Buffer> }>
}

export function createControlClient(place: string | RemoteServer): ControlClient {
  async function exchange(
    route: RouteName,
    path: Readonly<Record<string, string>>,
    input: object,
    more: Readonly<Record<string, string>>,
  ) {
    const response = await send(place, route, path, input, AbortSignal.timeout(CALL_TIMEOUT_MILLISECONDS), more)
    const text = await readAll(response)
    const status = response.statusCode ?? 500
    if (status >= 400) throw problemError(text, status)
    return { answer: JSON.parse(text), tag: response.headers.etag ?? null }
  }

  return {
    async call(route, path, input, ifMatch) {
      const more = ifMatch === undefined ? {} : { 'if-match': ifMatch }
      return (await exchange(route, path, input, more)).answer
    },
    read: (route, path) => exchange(route, path, {}, {}),
    async *journal(input, signal) {
      const response = await send(place, 'GET /journal', {}, input, signal)
      const status = response.statusCode ?? 500
      if (status >= 400) throw problemError(await readAll(response), status)
      yield* lines(response)
    },
    async backup(input) {
      const response = await send(place, 'POST /backups', {}, input, undefined)
      const status = response.statusCode ?? 500
      if (status >= 400) throw problemError(await readAll(response), status)
      return { id: String(response.headers['keyward-backup']), bytes: pieces(response) }
    },
  }
}

function send(
  place: string | RemoteServer,
  route: RouteName,
  parameters: Readonly<Record<string, string>>,
  input: object,
  signal: AbortSignal | undefined,
  more: Readonly<Record<string, string>> = {},
): Promise<IncomingMessage> {
  const [method = 'GET', template = '/'] = route.split(' ')
  let path = template.replace(/:([a-z]+)/g, (_, name: string) => encodeURIComponent(parameters[name] ?? ''))
  const reads = method === 'GET'
  if (reads) {
    const query = new URLSearchParams(Object.entries(input).filter(([, value]) => value !== undefined)).toString()
    if (query !== '') path += `?${query}`
  }
  const body = reads ? undefined : Buffer.from(JSON.stringify(input))
  const headers: Record<string, string | number> = {
    ...more,
    ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.byteLength }),
    ...(typeof place === 'string'
      ? { host: 'keyward' }
      : place.token === null
        ? {}
        : { authorization: `Bearer ${place.token}` }),
  }
  const common = { method, headers, agent: false, ...(signal === undefined ? {} : { signal }) }
  return new Promise((resolve, reject) => {
    const sending =
      typeof place === 'string'
        ? request({ ...common, socketPath: place, path }, resolve)
        : place.url.protocol === 'https:'
          ? secureRequest(new URL(path, place.url), { ...common, ...trusting(place) }, resolve)
          : request(new URL(path, place.url), common, resolve)
    sending.on('error', (error) => reject(unreachable(error)))
    sending.end(body, () => body?.fill(0))
  })
}

function trusting({ authority, client }: RemoteServer): { ca?: string; cert?: string; key?: string } {
  return {
    ...(authority === null ? {} : { ca: authority }),
    ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
  }
}

function unreachable(error: NodeJS.ErrnoException): KeywardError {
  if (error.name === 'TimeoutError' || error.name === 'AbortError') {
    return new KeywardError('server_unreachable', 'It did not answer in time.', { cause: error })
  }
  const because =
    error.code === 'EACCES'
      ? 'Its socket belongs to another user.'
      : isUntrusted(error.code)
        ? 'Its certificate does not verify for its name.'
        : undefined
  return new KeywardError('server_unreachable', because, { cause: error })
}

function isUntrusted(code: string | undefined): boolean {
  return code !== undefined && /^(?:ERR_TLS_|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_)/.test(code)
}

export async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response) {
      const bytes = Buffer.from(chunk)
      size += bytes.byteLength
      if (size > MAX_ANSWER_BYTES) throw new KeywardError('internal', 'The answer is too large.')
      chunks.push(bytes)
    }
  } catch (error) {
    if (error instanceof KeywardError) throw error
    throw new KeywardError('server_unreachable', 'It broke off its answer.', { cause: error })
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function* pieces(response: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of response) yield Buffer.from(chunk)
  } catch (error) {
    throw new KeywardError('server_unreachable', 'It broke off its answer.', { cause: error })
  }
}

async function* lines(response: IncomingMessage): AsyncGenerator<JournalEntry> {
  let rest = ''
  response.setEncoding('utf8')
  for await (const chunk of response) {
    rest += String(chunk)
    if (rest.length > MAX_LINE_CHARACTERS && !rest.includes('\n'))
      throw new KeywardError('internal', 'The answer is too large.')
    const parts = rest.split('\n')
    rest = parts.pop() ?? ''
    for (const line of parts) if (line !== '') yield JSON.parse(line)
  }
}

/** The error that a problem document stands for. What does not look like one is `internal`. */
export function problemError(text: string, status: number): KeywardError {
  let problem: unknown
  try {
    problem = JSON.parse(text)
  } catch {
    problem = null
  }
  if (typeof problem !== 'object' || problem === null || !('code' in problem) || !isErrorCode(problem.code)) {
    return new KeywardError('internal', `The server answered ${status}.`)
  }
  const detail = 'detail' in problem && typeof problem.detail === 'string' ? problem.detail : undefined
  return new KeywardError(problem.code, detail)
}
