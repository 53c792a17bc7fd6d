import { NARROWED_TOKEN_MAXIMUM_CHARACTERS } from '../core/narrowed-token.ts'
import { KeywardError } from '../core/errors.ts'
import type { Io } from './io.ts'

/** Where a token is looked for unless somebody names another variable. */
export const TOKEN_VARIABLE = 'KEYWARD_TOKEN'

/** A session's token, or a narrowed one, from a variable or else from stdin: what stands on a command line is read by everybody. */
export async function readToken(io: Pick<Io, 'environment' | 'stdin'>, variable: string | undefined): Promise<string> {
  const value = io.environment[variable ?? TOKEN_VARIABLE]
  if (value !== undefined && value !== '') return value
  if (variable !== undefined) throw new KeywardError('usage', 'The variable that should hold the token is not set.')
  if (io.stdin.isTTY === true)
    throw new KeywardError('usage', `Give the token in the variable ${TOKEN_VARIABLE}, or on stdin.`)
  let text = ''
  io.stdin.setEncoding('utf8')
  for await (const chunk of io.stdin) {
    text += String(chunk)
    if (text.length > 2 * NARROWED_TOKEN_MAXIMUM_CHARACTERS) throw new KeywardError('token_invalid')
  }
  return text.trim()
}
