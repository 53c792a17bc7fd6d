import { Buffer } from 'node:buffer'
import { open } from 'node:fs/promises'
import { KeywardError } from '../core/errors.ts'
import { isSignedBy, parseCheckpoint } from './checkpoint.ts'
import type { Checkpoint, CheckpointKey } from './checkpoint.ts'
import { readLines } from './segments.ts'

/**
 * The newest checkpoint of this journal in a witness file, or null. Each line of the file is a signed note as a JSON
 * string; lines of other nodes, and what is no note, are passed over. Throws `config_invalid` where the file cannot
 * be read, or holds a checkpoint in the name of this journal that its key did not sign.
 */
export async function lastWitnessed(path: string, key: CheckpointKey): Promise<Checkpoint | null> {
  let newest: Checkpoint | null = null
  try {
    for await (const { lines } of readLines(path)) {
      for (const line of lines) {
        const unproven = parseCheckpoint(noteOf(line.toString()))
        if (unproven?.checkpoint.origin !== key.origin) continue
        if (!isSignedBy(unproven, key))
          throw new KeywardError('config_invalid', 'KEYWARD_WITNESS_FILE holds a checkpoint that another key signed.')
        if (newest === null || unproven.checkpoint.size > newest.size) newest = unproven.checkpoint
      }
    }
  } catch (error) {
    if (error instanceof KeywardError) throw error
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw new KeywardError('config_invalid', 'KEYWARD_WITNESS_FILE cannot be read.', { cause: error })
  }
  return newest
}

/** Adds a checkpoint. An earlier line that was never finished is ended first. */
export async function appendWitnessed(path: string, checkpoint: Checkpoint): Promise<void> {
  const file = await open(path, 'a+', 0o600)
  try {
    const { size } = await file.stat()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1))
    const torn = size > 0 && bytesRead === 1 && buffer[0] !== 0x0a
    await file.write(`${torn ? '\n' : ''}${JSON.stringify(checkpoint.note)}\n`)
    await file.datasync()
  } finally {
    await file.close()
  }
}

function noteOf(line: string): string {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'string' ? value : ''
  } catch {
    return ''
  }
}
