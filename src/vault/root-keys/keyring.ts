import { spawn } from 'node:child_process'
import { KeywardError } from '../../core/errors.ts'
import { KEY_BYTES } from '../sealing.ts'
import type { RandomBytes } from '../sealing.ts'
import { parseRootKey, rootKeyText } from './file.ts'
import type { NextRootKey, RootKey, RootKeySource, SlotPlace } from './root-key.ts'

/** How long the keyring gets: its owner may have to unlock it first. */
export const KEYRING_MILLISECONDS = 60_000
const ANSWER_MAXIMUM_BYTES = 4_096
/** Exit code of macOS `security` for "The specified item could not be found in the keychain." */
const SECURITY_NOT_FOUND = 44

/** What a keyring does: one text for each slot of each store. Secrets go in by stdin and come out by stdout, never in argv. */
export interface KeyringPrograms {
  store(place: SlotPlace, text: string): Promise<void>
  /** Null: there is none. */
  look(place: SlotPlace): Promise<string | null>
  clear(place: SlotPlace): Promise<void>
}

/** The keyring of the operating system. Each slot has an entry of its own, by store and slot, so two root keys never get into each other's way. */
export function keyringSource(parts: {
  readonly programs: KeyringPrograms
  readonly random: RandomBytes
}): RootKeySource {
  const { programs, random } = parts
  async function read(place: SlotPlace) {
    const text = await programs.look(place)
    return text === null ? null : parseRootKey(text)
  }
  const rootKey: RootKey = {
    kind: 'keyring',
    async create(place) {
      const bytes = Buffer.alloc(KEY_BYTES)
      bytes.set(random(KEY_BYTES))
      const text = rootKeyText(bytes)
      bytes.fill(0)
      await programs.store(place, text)
      const key = await read(place)
      if (key === null) throw unavailable('It does not give back what was put into it.')
      return { head: { kind: 'keyring' }, key }
    },
    open: async (head, place) => (head.kind === 'keyring' ? read(place) : null),
  }
  const next: NextRootKey = {
    rootKey,
    settle: async () => undefined,
    destroyFormer: (place) => programs.clear(place),
    discard: async () => undefined,
  }
  return {
    kind: 'keyring',
    where: 'the keyring of this user',
    existing: async () => rootKey,
    first: async () => rootKey,
    next: async () => next,
  }
}

/** The programs of this platform. Throws `keyring_unavailable` when they are used and there is none. */
export function keyringPrograms(platform: NodeJS.Platform): KeyringPrograms {
  if (platform === 'linux') return secretService
  if (platform === 'darwin') return keychain
  const none = async (): Promise<never> => {
    throw unavailable(`Keyward knows no keyring on ${platform}.`)
  }
  return { store: none, look: none, clear: none }
}

/** Secret Service (freedesktop.org) through libsecret's `secret-tool`. */
const secretService: KeyringPrograms = {
  async store(place, text) {
    const label = `--label=Keyward root key ${place.slotId.slice(0, 8)}`
    const { code } = await run('secret-tool', ['store', label, ...attributesOf(place)], text)
    if (code !== 0) throw unavailable('The Secret Service did not take the key.')
  },
  async look(place) {
    const { code, stdout, stderr } = await run('secret-tool', ['lookup', ...attributesOf(place)], '')
    if (code === 0) return stdout
    // An entry that is not there is no error to it, and it says nothing; a service that is not there is one.
    if (stderr.trim() === '') return null
    throw unavailable('The Secret Service does not answer: is there a session bus, and is the keyring unlocked?')
  },
  async clear(place) {
    await run('secret-tool', ['clear', ...attributesOf(place)], '')
  },
}

/** macOS keychain through `security`; in its interactive mode the secret stands on stdin. */
const keychain: KeyringPrograms = {
  async store(place, text) {
    const line = `add-generic-password -U -s ${serviceOf(place)} -a ${plain(place.slotId)} -w ${text.trim()}\n`
    const { code } = await run('/usr/bin/security', ['-i'], line)
    if (code !== 0) throw unavailable('The keychain did not take the key.')
  },
  async look(place) {
    const asked = ['find-generic-password', '-s', serviceOf(place), '-a', plain(place.slotId), '-w']
    const { code, stdout } = await run('/usr/bin/security', asked, '')
    if (code === 0) return stdout
    if (code === SECURITY_NOT_FOUND) return null
    throw unavailable('The keychain does not answer: is it unlocked?')
  },
  async clear(place) {
    await run('/usr/bin/security', ['delete-generic-password', '-s', serviceOf(place), '-a', plain(place.slotId)], '')
  },
}

function attributesOf({ storeId, slotId }: SlotPlace): string[] {
  return ['application', 'keyward', 'store', plain(storeId), 'slot', plain(slotId)]
}

function serviceOf({ storeId }: SlotPlace): string {
  return `keyward-${plain(storeId)}`
}

/** Ids come from a store that is not believed yet, and become words of a command. */
function plain(id: string): string {
  if (/^[A-Za-z0-9][\w-]{0,127}$/.test(id)) return id
  throw new KeywardError('store_tampered', 'The id of a slot or store has other characters than Keyward gives.')
}

function unavailable(detail: string): KeywardError {
  return new KeywardError('keyring_unavailable', detail)
}

function run(
  program: string,
  args: readonly string[],
  input: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number | null; stdout: string; stderr: string }>()
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: KEYRING_MILLISECONDS })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (piece: Buffer) => {
    if (stdout.length < ANSWER_MAXIMUM_BYTES) stdout += piece.toString('latin1')
  })
  child.stderr.on('data', (piece: Buffer) => {
    if (stderr.length < ANSWER_MAXIMUM_BYTES) stderr += piece.toString('latin1')
  })
  child.on('error', (error) =>
    reject(
      'code' in error && error.code === 'ENOENT'
        ? unavailable(`The program ${program} is not installed (Debian and Ubuntu: libsecret-tools).`)
        : error,
    ),
  )
  child.on('close', (code) => resolve({ code, stdout, stderr }))
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  return promise
}
