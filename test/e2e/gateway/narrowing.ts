import { randomBytes } from 'node:crypto'
import type { Caveat } from '../../../src/core/caveats.ts'
import { narrow } from '../../../src/core/narrowed-token.ts'
import type { Stage } from './harness.ts'
import type { Held, Login } from './requests.ts'
import type { Answer } from './wire.ts'

export type Taken = Exclude<Caveat, { kind: 'narrowing' }>

export interface NarrowedLogin extends Login {
  readonly narrowing: string
}

/** Asks the gateway's own port for the placeholders of a token, as a sub-agent does. */
export async function askForPlaceholders(
  stage: Stage,
  token: string,
  more: readonly string[] = [],
  method = 'POST',
): Promise<Answer> {
  const wire = await stage.dial()
  const lines = [`Host: 127.0.0.1:${stage.port}`, `Authorization: Bearer ${token}`, 'Content-Length: 0', ...more]
  wire.write(`${method} /session/narrowed HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
  const answer = await wire.answer()
  wire.close()
  return answer
}

/** What a sub-agent holds: a token that was narrowed without the server, and placeholders that it got for it. */
export async function narrowLogin(stage: Stage, login: Login, caveats: readonly Taken[]): Promise<NarrowedLogin> {
  const { token, id } = narrow(login.token, caveats, randomBytes(12))
  const answer = await askForPlaceholders(stage, token)
  if (answer.status !== 200) throw new Error(`The gateway answered ${answer.status}: ${answer.body.toString()}`)
  const view: { credentials: { name: string; fields: { field: string; text: string }[] }[] } = JSON.parse(
    answer.body.toString(),
  )
  return {
    id: login.id,
    token,
    narrowing: id,
    placeholder(held: Held, field = 'key') {
      const credential = view.credentials.find(({ name }) => name === held.id)
      return credential?.fields.find((one) => one.field === field)?.text ?? ''
    },
  }
}
