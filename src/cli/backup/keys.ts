import { Buffer } from 'node:buffer'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { resolve } from 'node:path'
import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import type { OpenWith, SealFor } from '../../vault/backup/sealed.ts'
import type { Io } from '../io.ts'

/** A file with recipients, identities or a passphrase. */
const KEY_FILE_MAXIMUM_BYTES = 64 * 1024

export interface SealOptions {
  readonly recipient?: readonly string[]
  readonly recipientsFile?: string
  readonly passphraseFile?: string
}

export interface OpenOptions {
  readonly identity?: readonly string[]
  readonly passphraseFile?: string
}

/** For whom a backup is made, as the options say; a person at a terminal may give a passphrase instead. */
export async function sealFor(io: Io, { recipient, recipientsFile, passphraseFile }: SealOptions): Promise<SealFor> {
  const recipients = [...(recipient ?? []), ...(recipientsFile === undefined ? [] : linesOf(io, recipientsFile))]
  if (passphraseFile !== undefined) {
    if (recipient !== undefined || recipientsFile !== undefined)
      throw new KeywardError('usage', 'A backup is for recipients, or for whoever has the passphrase; not both.')
    return { kind: 'passphrase', passphrase: passphraseOf(io, passphraseFile) }
  }
  if (recipient !== undefined || recipientsFile !== undefined) return { kind: 'recipients', recipients }
  if (!io.interactive)
    throw new KeywardError(
      'usage',
      'Say for whom it is: --recipient age1…, --recipients-file F or --passphrase-file F.',
    )
  const passphrase = await askPassphrase('A passphrase for this backup', io)
  if ((await askPassphrase('The same once more', io)).revealText() !== passphrase.revealText())
    throw new KeywardError('confirmation_required', 'The two were not the same.')
  return { kind: 'passphrase', passphrase }
}

/** With what a backup is opened. */
export async function openWith(io: Io, { identity, passphraseFile }: OpenOptions): Promise<OpenWith> {
  if (identity !== undefined && passphraseFile !== undefined)
    throw new KeywardError('usage', 'Give --identity or --passphrase-file, not both.')
  if (passphraseFile !== undefined) return { kind: 'passphrase', passphrase: passphraseOf(io, passphraseFile) }
  if (identity !== undefined)
    return {
      kind: 'identities',
      identities: identity.flatMap((file) => linesOf(io, file)).map((line) => Secret.fromText('identity', line)),
    }
  if (!io.interactive)
    throw new KeywardError('usage', 'Say what opens it: --identity F (of age-keygen) or --passphrase-file F.')
  return { kind: 'passphrase', passphrase: await askPassphrase('The passphrase of this backup', io) }
}

/** Lines that are neither empty nor comments, as age's own files have them. */
function linesOf(io: Io, file: string): string[] {
  const bytes = readSmall(io, file)
  const text = bytes.toString('utf8')
  bytes.fill(0)
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** The whole file but a line break at its end, as the passphrase of a home is. */
function passphraseOf(io: Io, file: string): Secret {
  const bytes = readSmall(io, file)
  const end = bytes.at(-1) === 0x0a ? bytes.byteLength - 1 : bytes.byteLength
  const passphrase = new Secret('passphrase', bytes.subarray(0, end))
  bytes.fill(0)
  if (passphrase.byteLength === 0) throw new KeywardError('usage', 'The file of the passphrase is empty.')
  return passphrase
}

function readSmall(io: Io, file: string): Buffer {
  let descriptor: number | null = null
  try {
    descriptor = openSync(resolve(io.workingDirectory, file), 'r')
    if (fstatSync(descriptor).isDirectory()) throw new Error('a folder')
    const bytes = Buffer.alloc(KEY_FILE_MAXIMUM_BYTES + 1)
    let size = 0
    for (let more = -1; more !== 0 && size < bytes.length; size += more)
      more = readSync(descriptor, bytes, size, bytes.length - size, null)
    if (size > KEY_FILE_MAXIMUM_BYTES) throw new Error('too long')
    return bytes.subarray(0, size)
  } catch (error) {
    throw new KeywardError(
      'usage',
      `A file that was named cannot be read, or is longer than ${KEY_FILE_MAXIMUM_BYTES} bytes.`,
      {
        cause: error,
      },
    )
  } finally {
    if (descriptor !== null) closeSync(descriptor)
  }
}

async function askPassphrase(message: string, io: Io): Promise<Secret> {
  const { isCancel, password } = await import('@clack/prompts')
  const answer = await password({ message, output: io.stderr })
  if (isCancel(answer) || typeof answer !== 'string' || answer === '')
    throw new KeywardError('confirmation_required', 'No passphrase was given.')
  return Secret.fromText('passphrase', answer)
}
