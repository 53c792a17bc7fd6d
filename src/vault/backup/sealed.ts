import { Buffer } from 'node:buffer'
import { ReadableStream } from 'node:stream/web'
import { Decrypter, Encrypter } from 'age-encryption'
import { KeywardError } from '../../core/errors.ts'
import type { Secret } from '../../core/secret.ts'

/** Whoever may open one backup. */
export const BACKUP_RECIPIENTS_MAXIMUM = 32
/** The head of an age file; one of a recipient is 200 bytes, a post-quantum one 1,700. */
export const BACKUP_HEADER_MAXIMUM_BYTES = 96 * 1024
/** Base-2 logarithm of the work of scrypt that a passphrase may ask for: 18, age's own, takes 256 MiB of memory. */
export const BACKUP_WORK_MAXIMUM = 18
export const BACKUP_PASSPHRASE_MINIMUM_CHARACTERS = 12

const ageVersion = Buffer.from('age-encryption.org/v1\n')

/** To whom: recipients of age (`age1…`), or whoever has the passphrase. */
export type SealFor =
  | { readonly kind: 'recipients'; readonly recipients: readonly string[] }
  | { readonly kind: 'passphrase'; readonly passphrase: Secret }

/** With what: identities of age (`AGE-SECRET-KEY-…`), one Secret each, or a passphrase. */
export type OpenWith =
  | { readonly kind: 'identities'; readonly identities: readonly Secret[] }
  | { readonly kind: 'passphrase'; readonly passphrase: Secret }

/** Prepares the encryption; throws `usage` where a recipient is none. */
export function sealer(to: SealFor): (bytes: AsyncGenerator<Buffer>) => Promise<AsyncIterable<Uint8Array>> {
  const encrypter = new Encrypter()
  if (to.kind === 'passphrase') {
    const text = to.passphrase.revealText()
    if (text.length < BACKUP_PASSPHRASE_MINIMUM_CHARACTERS)
      throw new KeywardError('usage', `The passphrase has at least ${BACKUP_PASSPHRASE_MINIMUM_CHARACTERS} characters.`)
    encrypter.setPassphrase(text)
  } else {
    if (to.recipients.length === 0 || to.recipients.length > BACKUP_RECIPIENTS_MAXIMUM)
      throw new KeywardError('usage', `A backup is for 1 to ${BACKUP_RECIPIENTS_MAXIMUM} recipients.`)
    for (const recipient of to.recipients) {
      try {
        encrypter.addRecipient(recipient)
      } catch (error) {
        throw new KeywardError('usage', 'A recipient is a public key of age: age1…, as age-keygen prints it.', {
          cause: error,
        })
      }
    }
  }
  return async (bytes) => encrypter.encrypt(streamOf(bytes))
}

/**
 * What an age file holds. Its head is looked at first: one without an end, or that asks for more work than a
 * passphrase of ours, is not tried. Throws `backup_damaged` or `backup_locked`, also while it is read.
 */
export async function* unseal(file: AsyncIterable<Uint8Array>, keys: OpenWith): AsyncGenerator<Uint8Array> {
  const decrypter = new Decrypter()
  if (keys.kind === 'passphrase') decrypter.addPassphrase(keys.passphrase.revealText())
  else {
    for (const identity of keys.identities) {
      try {
        decrypter.addIdentity(identity.revealText())
      } catch (error) {
        // Not the library's words: they could be about the key itself.
        throw new KeywardError(
          'usage',
          'An identity is a secret key of age: AGE-SECRET-KEY-1…, as age-keygen prints it.',
          {
            cause: error instanceof Error ? error.name : null,
          },
        )
      }
    }
  }
  try {
    yield* await decrypter.decrypt(streamOf(withBoundedHead(file)))
  } catch (error) {
    if (error instanceof KeywardError) throw error
    if (error instanceof Error && error.message.startsWith('no identity matched'))
      throw new KeywardError('backup_locked', undefined, { cause: error })
    if (error instanceof Error && 'code' in error)
      throw new KeywardError('backup_damaged', 'It cannot be read.', { cause: error })
    throw new KeywardError('backup_damaged', 'Its encryption does not open: it was changed or cut.', { cause: error })
  }
}

async function* withBoundedHead(file: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head: Uint8Array[] | null = []
  let size = 0
  for await (const piece of file) {
    if (head === null) {
      yield piece
      continue
    }
    head.push(piece)
    size += piece.byteLength
    const bytes = Buffer.concat(head, size)
    const end = bytes.subarray(0, BACKUP_HEADER_MAXIMUM_BYTES).indexOf('\n--- ')
    if (end < 0 && size < BACKUP_HEADER_MAXIMUM_BYTES) continue
    judgeHead(bytes, end)
    yield bytes
    head = null
  }
  if (head !== null) judgeHead(Buffer.concat(head, size), -1)
}

function judgeHead(bytes: Buffer, end: number): void {
  if (!bytes.subarray(0, 22).equals(ageVersion)) {
    const isArmored = bytes.subarray(0, 10).toString('latin1') === '-----BEGIN'
    throw new KeywardError(
      'backup_damaged',
      isArmored ? 'It is armored; `age -d` and `age -e` without -a undo that.' : 'It is not an age file.',
    )
  }
  if (end < 0) throw new KeywardError('backup_damaged', 'Its head has no end.')
  const work = /\n-> scrypt \S+ (\d{1,9})\n/.exec(bytes.toString('latin1', 0, end + 1))?.[1]
  if (work !== undefined && Number(work) > BACKUP_WORK_MAXIMUM)
    throw new KeywardError(
      'backup_damaged',
      `Its passphrase asks for more work than 2^${BACKUP_WORK_MAXIMUM}, which no backup of Keyward does.`,
    )
}

/** As it is asked for, and no faster. */
function streamOf(bytes: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await bytes.next()
        if (next.done === true) controller.close()
        else controller.enqueue(next.value)
      },
      async cancel() {
        await bytes.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}
