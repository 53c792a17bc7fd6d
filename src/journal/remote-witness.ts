import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import { isSignedBy, parseCheckpoint } from './checkpoint.ts'
import type { Checkpoint, CheckpointKey } from './checkpoint.ts'
import { consistencyProof } from './consistency.ts'
import { cosignedAt } from './cosignature.ts'
import type { WitnessKey } from './cosignature.ts'
import { digestToBase64 } from './merkle.ts'

/** The newest checkpoint with the signature of the witness, in the folder of the journal. */
export const COSIGNED_FILE = 'cosigned'
/** A witness answers with a few lines; more is not read. */
const MAX_ANSWER_BYTES = 16 * 1024
/** How long a witness may take for an answer. */
export const WITNESS_MILLISECONDS = 3_000
/** The most lines of a proof (https://c2sp.org/tlog-witness). */
const MAX_PROOF_LINES = 63

export interface Cosigned {
  readonly size: number
  readonly root: string
  /** Seconds since the Unix epoch, by the clock of the witness. */
  readonly at: number
  readonly witness: string
}

export interface RemoteWitness {
  /**
   * Lets the witness sign a checkpoint. Throws `journal_rolled_back` where it has signed what this journal does not
   * contain, and `witness_unavailable` where it cannot be told.
   */
  submit(checkpoint: Checkpoint): Promise<Cosigned>
}

/** A witness elsewhere that speaks C2SP tlog-witness (https://c2sp.org/tlog-witness): it signs only what contains all that it has signed before. */
export function createRemoteWitness(parts: {
  /** Submission prefix; https, or http on a loopback address. */
  readonly url: string
  readonly witness: WitnessKey
  readonly key: CheckpointKey
  /** Of the journal. */
  readonly directory: string
  readonly timeoutMilliseconds?: number
}): RemoteWitness {
  const { url, witness, key, directory, timeoutMilliseconds = WITNESS_MILLISECONDS } = parts

  async function post(old: number, checkpoint: Checkpoint): Promise<{ status: number; text: string }> {
    const proof = await consistencyProof(directory, key, old, checkpoint.size)
    if (proof === undefined || proof.length > MAX_PROOF_LINES)
      throw unavailable(`What it signed last (${old} entries) cannot be proven any more: it was pruned.`)
    const lines = [`old ${old}`, ...proof.map(digestToBase64), '', checkpoint.note]
    try {
      const response = await fetch(`${url.replace(/\/$/, '')}/add-checkpoint`, {
        method: 'POST',
        body: lines.join('\n'),
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMilliseconds),
      })
      return { status: response.status, text: await boundedText(response) }
    } catch (error) {
      throw unavailable('It gives no answer.', error)
    }
  }

  return {
    async submit(checkpoint) {
      const kept = readCosigned(directory, key, witness)
      let old = kept !== null && kept.size <= checkpoint.size ? kept.size : 0
      let answer = await post(old, checkpoint)
      if (answer.status === 409) {
        const size = sizeOf(answer.text)
        if (size === null) throw unavailable('It answers 409 without a size.')
        if (size > checkpoint.size)
          throw rolledBack(`It has ${checkpoint.size} entries; ${witness.name} has signed ${size}.`)
        // Of the same size with another root, or of a size that it has just told otherwise.
        if (size === old) throw rolledBack(`${witness.name} has signed another journal of ${size} entries.`)
        old = size
        answer = await post(old, checkpoint)
      }
      if (answer.status === 422 || answer.status === 409)
        throw rolledBack(`It does not contain the ${old} entries that ${witness.name} has signed.`)
      if (answer.status !== 200) throw unavailable(`It answers ${answer.status}.`)
      const note = `${checkpoint.note}${answer.text}`
      const unproven = parseCheckpoint(note)
      const at = unproven === undefined ? null : cosignedAt(unproven, witness)
      if (at === null) throw unavailable('What it answers is not signed by its key.')
      await keep(directory, note)
      return { size: checkpoint.size, root: checkpoint.root, at, witness: witness.name }
    },
  }
}

/** The newest checkpoint of this journal that the witness has signed; null where none is kept that can be believed. */
export function readCosigned(directory: string, key: CheckpointKey, witness: WitnessKey): Cosigned | null {
  let note: string
  try {
    note = readFileSync(join(directory, COSIGNED_FILE), 'utf8')
  } catch {
    return null
  }
  const unproven = parseCheckpoint(note)
  if (unproven === undefined || unproven.checkpoint.origin !== key.origin || !isSignedBy(unproven, key)) return null
  const at = cosignedAt(unproven, witness)
  const { size, root } = unproven.checkpoint
  return at === null ? null : { size, root, at, witness: witness.name }
}

async function keep(directory: string, note: string): Promise<void> {
  const path = join(directory, COSIGNED_FILE)
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.writeFile(note)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
}

async function boundedText(response: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of response.body ?? []) {
    bytes += piece.length
    if (bytes > MAX_ANSWER_BYTES) throw new RangeError('the answer is too long')
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}

function sizeOf(text: string): number | null {
  return /^(0|[1-9]\d{0,14})\n$/.test(text) ? Number(text) : null
}

function rolledBack(detail: string): KeywardError {
  return new KeywardError('journal_rolled_back', detail)
}

function unavailable(detail: string, cause?: unknown): KeywardError {
  return new KeywardError('witness_unavailable', detail, { cause })
}
