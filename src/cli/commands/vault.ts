import { KeywardError } from '../../core/errors.ts'
import type { Call, Io, JsonOption } from '../io.ts'
import { firstOf } from '../io.ts'
import { typeToConfirm } from '../confirm.ts'
import { moment, note, printJson, printLine, printTable } from '../print.ts'

export async function show({ io, options }: Call<JsonOption>): Promise<void> {
  const view = await io.client().call('GET /vault', {}, {})
  if (options.json === true) return printJson(io, view)
  const slots = view.slots.map(({ id, kind, opened, replaces, createdAt }) => [
    id,
    kind,
    moment(createdAt),
    [opened ? 'this server came in by it' : '', replaces === null ? '' : `rotation broken off; replaces ${replaces}`]
      .filter(Boolean)
      .join('; '),
  ])
  printTable(io, ['slot', 'kind', 'since', ''], slots, 'There is no slot.')
  if (!view.slots.some(({ kind }) => kind === 'recovery'))
    note(io, 'There is no recovery key: `keyward vault add-slot recovery` makes one.')
  printLine(io)
  const terms = view.terms.map(({ id, purpose, state, versions, createdAt }) => [
    id,
    purpose,
    state,
    purpose === 'seal' ? String(versions) : '-',
    moment(createdAt),
  ])
  printTable(io, ['term', 'purpose', 'state', 'versions', 'since'], terms, 'There is no term.')
}

export async function addSlot({ io, args, options }: Call<JsonOption>): Promise<void> {
  const kind = firstOf(args)
  const input = kind === 'recovery' ? { kind: 'recovery' as const } : await passphraseInput(io, kind)
  const made = await io.client().call('POST /vault/slots', {}, input)
  if (options.json === true) return printJson(io, made)
  note(io, `Slot ${made.id}.`)
  if (made.recoveryKey === null) return
  note(io, 'The recovery key, shown this once; write it down, apart from this machine. A former one opens no more:')
  printLine(io, made.recoveryKey)
}

export async function removeSlot({ io, args, options }: Call<{ yes?: boolean }>): Promise<void> {
  const id = firstOf(args)
  if (options.yes !== true)
    await typeToConfirm(io, `Whoever has this root key gets in no more. Type the id of the slot`, id)
  await io.client().call('DELETE /vault/slots/:id', { id }, {})
  printLine(io, `Slot ${id} is gone. Backups from before still open with its root key.`)
}

export async function rotateRoot({ io, options }: Call<{ passphrase?: boolean } & JsonOption>): Promise<void> {
  const input = options.passphrase === true ? { passphrase: await newPassphrase(io) } : {}
  const made = await io.client().call('POST /vault/root-rotations', {}, input)
  if (options.json === true) return printJson(io, made)
  printLine(io, `A new root key opens the vault (slot ${made.id}); the former one is destroyed (slot ${made.retired}).`)
  note(io, 'Backups from before open with the former root key alone, or with the recovery key: make a new one.')
  note(io, 'Other nodes of this store go on, and need the new root key before they start again.')
}

export async function rotateTerms({ io, options }: Call<JsonOption>): Promise<void> {
  const made = await io.client().call('POST /vault/term-rotations', {}, {})
  if (options.json === true) return printJson(io, made)
  printLine(
    io,
    `Term ${made.term}: ${made.rewrapped} versions wrapped anew, ${made.termsRemoved} former terms destroyed.`,
  )
}

async function passphraseInput(io: Io, kind: string): Promise<{ kind: 'passphrase'; passphrase: string }> {
  if (kind !== 'passphrase') throw new KeywardError('usage', 'A slot is added for: recovery, passphrase.')
  return { kind, passphrase: await newPassphrase(io) }
}

async function newPassphrase(io: Io): Promise<string> {
  if (!io.interactive) throw new KeywardError('confirmation_required')
  const { isCancel, password } = await import('@clack/prompts')
  const first = await password({ message: 'The new passphrase', output: io.stderr })
  const second = isCancel(first) ? first : await password({ message: 'The same once more', output: io.stderr })
  if (typeof first !== 'string' || first !== second)
    throw new KeywardError('confirmation_required', 'The two were not the same, so nothing was done.')
  return first
}
