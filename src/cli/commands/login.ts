import { readFileSync } from 'node:fs'
import type { Answers } from '../../api/answers.ts'
import { createControlClient } from '../../client/control-client.ts'
import type { ControlClient } from '../../client/control-client.ts'
import { KeywardError } from '../../core/errors.ts'
import type { Call, Io, JsonOption } from '../io.ts'
import { moment, note, printJson, printLine, printPairs } from '../print.ts'
import { idTokenByBrowser, openBrowser } from '../oidc-browser.ts'
import { keepLogin } from '../stored-logins.ts'

interface LoginOptions extends JsonOption {
  readonly caFile?: string
  readonly code?: boolean
  readonly codeStdin?: boolean
}

/** At the socket it prints a link for a browser; on a server elsewhere it logs this command line in, with a code. */
export async function login({ io, options }: Call<LoginOptions>): Promise<void> {
  if (io.server === null) {
    const offered = await io.client().call('POST /login-codes', {}, {})
    if (options.json === true) return printJson(io, offered)
    if (offered.link === null)
      throw new KeywardError('usage', 'No port is served: start the server with --listen 127.0.0.1:7070.')
    printLine(io, offered.link)
    return note(io, `It is good once, until ${moment(offered.expiresAt)}.`)
  }
  const authority = options.caFile === undefined ? null : readAuthority(options.caFile)
  const client = createControlClient({ url: io.server, token: null, authority })
  const { token, ...about } = await (options.codeStdin === true || options.code === true
    ? client.call('POST /logins', {}, { code: await askCode(io, options.codeStdin === true) })
    : byProvider(io, client))
  keepLogin(io.server, { token, expiresAt: about.expiresAt, authority }, io.environment)
  if (options.json === true) return printJson(io, about)
  printLine(io, `You are ${about.name}, ${about.role}, until ${moment(about.expiresAt)}.`)
}

export async function logout({ io }: Call): Promise<void> {
  if (io.server === null) throw new KeywardError('usage', 'Name the server: --server URL.')
  try {
    await io.client().call('DELETE /me/login', {}, {})
  } catch (error) {
    // What the server does not know any more is forgotten here all the same.
    if (!(error instanceof KeywardError) || !['login_invalid', 'login_required'].includes(error.code)) throw error
  }
  keepLogin(io.server, null, io.environment)
  printLine(io, `You are logged out of ${io.server.origin}.`)
}

export async function whoami({ io, options }: Call<JsonOption>): Promise<void> {
  const me = await io.client().call('GET /me', {}, {})
  if (options.json === true) return printJson(io, me)
  printPairs(io, [
    ['name', me.name],
    ['role', me.role],
    ['about', me.groups.includes('*') ? 'everything' : me.groups.join(', ')],
    ['login', me.login === null ? 'the socket of this home' : `until ${moment(me.login.expiresAt)}`],
  ])
}

/** By the OpenID provider, where the server has one; otherwise with a code. */
async function byProvider(io: Io, client: ControlClient): Promise<Answers['POST /logins']> {
  const beginning = await client.call('POST /logins/oidc/begin', {}, {}).catch((error: unknown) => {
    if (error instanceof KeywardError && error.code === 'oidc_missing' && io.interactive) return null
    throw error
  })
  if (beginning === null) return client.call('POST /logins', {}, { code: await askCode(io, false) })
  const idToken = await idTokenByBrowser(beginning, (url) => {
    note(io, `Open this address to log in:\n\n  ${url}\n`)
    if (io.interactive) openBrowser(url)
  })
  return client.call('POST /logins/oidc', {}, { idToken })
}

function readAuthority(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new KeywardError('file_invalid', `${path} cannot be read.`, { cause: error })
  }
}

/** Never as an argument: those are seen by every process of the machine. */
async function askCode(io: Io, fromStdin: boolean): Promise<string> {
  if (fromStdin) {
    let text = ''
    for await (const chunk of io.stdin) if ((text += String(chunk)).length > 1024) break
    return text.trim()
  }
  if (!io.interactive) throw new KeywardError('confirmation_required', 'Give the code with --code-stdin.')
  const { isCancel, password } = await import('@clack/prompts')
  const answer = await password({ message: 'The one-time code that an admin gave you', output: io.stderr })
  if (isCancel(answer) || typeof answer !== 'string') throw new KeywardError('confirmation_required')
  return answer.trim()
}
