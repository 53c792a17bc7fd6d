import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { copyFile, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { KeywardError } from '../core/errors.ts'
import { CHECKPOINTS_FILE, listSegments } from './segments.ts'
import { START_FILE } from './tree-file.ts'

/** Names what has arrived, in the folder of the journal: a lost one only means that it is sent again. */
export const SHIPPED_FILE = 'shipped'
/** How often it is looked whether a segment has been closed. */
export const SHIP_MILLISECONDS = 10_000
/** Tries of one file in a row, and the pause after the first of them, which doubles. */
export const SHIP_ATTEMPTS = 4
const FIRST_PAUSE_MILLISECONDS = 250
/** The longest that a target may take for one file. */
export const SHIP_FILE_MILLISECONDS = 60_000
/** How long the end of a server waits for the last of its journal to arrive. */
export const SHIP_END_MILLISECONDS = 10_000
const MAX_TOKEN_BYTES = 16 * 1024

export interface Shipping {
  /** Closed segments that have not arrived, and the error of the last try; null: none. */
  readonly state: { readonly behind: number; readonly error: string | null }
  /** The number of the last segment that has arrived, with all before it. */
  readonly arrived: number
  /** Sends what is closed. Never throws. */
  ship(): Promise<void>
  /** Stops looking, and sends what there is, the newest segment included, within the time. Never throws. */
  finish(milliseconds: number): Promise<void>
}

/**
 * Copies the segments of a journal to a place that outlives this machine: each one when it is closed, then the
 * checkpoints; at the end the newest too. Away from the requests: a target that is full or gone is tried again, and
 * nothing waits for it.
 */
export function createShipping(parts: {
  readonly directory: string
  readonly node: string
  /** A folder, or an URL to which files are PUT. */
  readonly target: string
  readonly tokenFile: string | null
  readonly onError: (error: unknown) => unknown
  readonly everyMilliseconds?: number
  readonly pause?: (milliseconds: number) => Promise<void>
}): Shipping {
  const { directory, node, target, tokenFile, onError, everyMilliseconds = SHIP_MILLISECONDS } = parts
  const pause =
    parts.pause ?? ((milliseconds: number) => new Promise<void>((done) => setTimeout(done, milliseconds).unref()))
  const send = /^https?:/.test(target) ? putTo(target, tokenFile) : copyInto(target)
  let arrived = readArrived(directory, target)
  let behind = 0
  let error: string | null = null
  let running: Promise<void> | null = null
  const ending = new AbortController()

  async function sendFile(file: string, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await send(join(directory, file), { node, file }, signal)
      } catch (failure) {
        if (attempt === SHIP_ATTEMPTS || signal.aborted) throw failure
        await pause(FIRST_PAUSE_MILLISECONDS * 2 ** (attempt - 1))
      }
    }
  }

  async function round(signal: AbortSignal, withNewest: boolean): Promise<void> {
    const segments = await listSegments(directory)
    const closed = segments.slice(0, -1).filter(({ number }) => number > arrived)
    behind = closed.length
    const wanted = withNewest ? [...closed, ...segments.slice(-1)] : closed
    if (wanted.length === 0) return
    try {
      for (const { file, number } of wanted) {
        await sendFile(file, signal)
        if (number === segments.at(-1)?.number) continue
        arrived = number
        behind -= 1
        await keepArrived(directory, target, arrived)
      }
      // After what they sign: a copy that was ended in between lacks a proof, never an entry that is signed.
      for (const file of [START_FILE, CHECKPOINTS_FILE])
        if (statSync(join(directory, file), { throwIfNoEntry: false }) !== undefined) await sendFile(file, signal)
      error = null
    } catch (failure) {
      error = failure instanceof KeywardError ? (failure.detail ?? failure.code) : 'It does not take the files.'
      onError(new KeywardError('journal_unshipped', error, { cause: failure }))
    }
  }

  function once(signal: AbortSignal, withNewest: boolean): Promise<void> {
    running ??= round(signal, withNewest)
      .catch(onError)
      .then(() => {})
      .finally(() => {
        running = null
      })
    return running
  }

  const timer = setInterval(() => void once(ending.signal, false), everyMilliseconds)
  timer.unref()
  return {
    get state() {
      return { behind, error }
    },
    get arrived() {
      return arrived
    },
    ship: () => once(ending.signal, false),
    async finish(milliseconds) {
      clearInterval(timer)
      const limit = AbortSignal.timeout(milliseconds)
      limit.addEventListener('abort', () => ending.abort())
      const late = new Promise<void>((done) => limit.addEventListener('abort', () => done()))
      const work = async (): Promise<void> => {
        await running
        await once(limit, true)
      }
      await Promise.race([work(), late])
    },
  }
}

/** Begins at once, where the settings name a target. */
export function startShipping(
  config: { readonly node: string; readonly journalShip: string | null; readonly journalShipTokenFile: string | null },
  journalDirectory: string,
  onError: (error: unknown) => unknown,
): Shipping | null {
  const { node, journalShip: target, journalShipTokenFile: tokenFile } = config
  if (target === null) return null
  const shipping = createShipping({ directory: join(journalDirectory, node), node, target, tokenFile, onError })
  void shipping.ship()
  return shipping
}

type Send = (
  path: string,
  place: { readonly node: string; readonly file: string },
  signal: AbortSignal,
) => Promise<void>

/** Under another name first: whoever reads the folder never finds half of a file under its own. */
function copyInto(target: string): Send {
  return async (path, { node, file }) => {
    const folder = join(target, node)
    const place = join(folder, file)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await copyFile(path, `${place}.part`)
    const copy = await open(`${place}.part`, 'r+')
    try {
      await copy.sync()
    } finally {
      await copy.close()
    }
    if ((await digestOf(path, null)) !== (await digestOf(`${place}.part`, null))) {
      const { size } = statSync(`${place}.part`)
      // The newest segment may have grown meanwhile; what was copied must be the beginning of it.
      if ((await digestOf(path, size)) !== (await digestOf(`${place}.part`, size))) {
        await rm(`${place}.part`)
        throw new KeywardError('journal_unshipped', 'The copy is not what was sent.')
      }
    }
    await rename(`${place}.part`, place)
  }
}

/** `Content-Digest` (RFC 9530) lets the target refuse what did not arrive whole. */
function putTo(target: string, tokenFile: string | null): Send {
  return async (path, { node, file }, signal) => {
    const { size } = statSync(path)
    const digest = await digestOf(path, size)
    const response = await fetch(`${target.replace(/\/$/, '')}/${node}/${file}`, {
      method: 'PUT',
      body: size === 0 ? '' : Readable.toWeb(createReadStream(path, { end: size - 1 })),
      duplex: 'half',
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(SHIP_FILE_MILLISECONDS)]),
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(size),
        'content-digest': `sha-256=:${digest}:`,
        ...(tokenFile === null ? {} : { authorization: `Bearer ${tokenIn(tokenFile)}` }),
      },
    })
    await response.body?.cancel()
    if (!response.ok) throw new KeywardError('journal_unshipped', `The target answers ${response.status}.`)
  }
}

/** Read anew each time, since tokens of pods are renewed in their file. */
function tokenIn(path: string): string {
  const text = readFileSync(path, 'latin1').trim()
  if (text.length > MAX_TOKEN_BYTES || !/^[\x21-\x7e]+$/.test(text))
    throw new KeywardError('journal_unshipped', 'The token file holds no token.')
  return text
}

/** SHA-256 as base64, of the first `bytes`, or of all. */
async function digestOf(path: string, bytes: number | null): Promise<string> {
  const digest = createHash('sha256')
  if (bytes !== 0)
    for await (const piece of createReadStream(path, bytes === null ? {} : { end: bytes - 1 })) digest.update(piece)
  return digest.digest('base64')
}

function readArrived(directory: string, target: string): number {
  try {
    const value: unknown = JSON.parse(readFileSync(join(directory, SHIPPED_FILE), 'utf8'))
    if (typeof value !== 'object' || value === null || !('target' in value) || !('segment' in value)) return 0
    return value.target === target && Number.isSafeInteger(value.segment) ? Number(value.segment) : 0
  } catch {
    return 0
  }
}

async function keepArrived(directory: string, target: string, segment: number): Promise<void> {
  const path = join(directory, SHIPPED_FILE)
  await writeFile(`${path}.new`, `${JSON.stringify({ segment, target })}\n`, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

/** The nodes whose journals lie in a folder to which they were shipped. */
export async function shippedNodes(folder: string): Promise<string[]> {
  const found = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new KeywardError('not_found', 'There is no such folder.', { cause })
  })
  return found.flatMap((one) => (one.isDirectory() && /^[\w.-]{1,128}$/.test(one.name) ? [one.name] : [])).toSorted()
}
