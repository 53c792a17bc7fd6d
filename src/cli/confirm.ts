import { KeywardError } from '../core/errors.ts'
import type { Io } from './io.ts'

/** Asks a person to type `expected`; without a terminal, or with another answer, `confirmation_required`. */
export async function typeToConfirm(io: Io, message: string, expected: string): Promise<void> {
  if (!io.interactive) throw new KeywardError('confirmation_required')
  const { isCancel, text } = await import('@clack/prompts')
  const answer = await text({ message, output: io.stderr })
  if (isCancel(answer) || answer !== expected)
    throw new KeywardError('confirmation_required', 'The name was not typed, so nothing was done.')
}

/** A yes or a no from a person; `confirmation_required` where nobody can be asked. */
export async function askYes(io: Io, message: string): Promise<boolean> {
  if (!io.interactive) throw new KeywardError('confirmation_required')
  const { confirm, isCancel } = await import('@clack/prompts')
  const answer = await confirm({ message, output: io.stderr })
  return !isCancel(answer) && answer === true
}
