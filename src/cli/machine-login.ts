import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { IssuedView } from '../api/answers.ts'
import { createControlClient, type ControlClient } from '../client/control-client.ts'
import { KeywardError } from '../core/errors.ts'
import { JWT_MAXIMUM_CHARACTERS } from '../identity/login-bounds.ts'
import type { Io } from './io.ts'

/** What a machine logs in with, as typed. */
export interface MachineOptions {
  readonly enrolmentFile?: string
  readonly jwtFile?: string
  /** The same, under the name by which `run` and `env` know it: read again for every renewal. */
  readonly tokenFile?: string
  readonly certificateFile?: string
  readonly keyFile?: string
  /** Whose certificate the server shows. */
  readonly caFile?: string
  readonly agent?: string
  readonly env?: string
}

export interface MachineLogin {
  readonly session: IssuedView
  /** Lets it live on, with what the files hold by then. Throws `renewal_refused` where it came of what is good once. */
  renew(): Promise<void>
  logOut(): Promise<void>
}

/** Whether any of the ways in was named. */
export function asksForMachineLogin(options: MachineOptions): boolean {
  const { enrolmentFile, jwtFile, tokenFile, certificateFile } = options
  return [enrolmentFile, jwtFile, tokenFile, certificateFile].some((one) => one !== undefined)
}

/** Logs in at the server that was named, or else at that of the home. */
export async function logMachineIn(
  io: Io,
  options: MachineOptions,
  wish: { readonly ttlSeconds?: number; readonly egress?: 'open' | 'deny' },
): Promise<MachineLogin> {
  const client = clientOf(io, options)
  const { agent, env } = options
  const named = agent === undefined ? {} : { agent: { name: agent, environment: env ?? 'dev' } }
  const session = await client.call('POST /machine/logins', {}, { ...proofOf(io, options), ...named, ...wish })
  return {
    session,
    async renew() {
      const { token, ttlSeconds } = session
      await client.call('POST /machine/renewals', {}, { ...proofOf(io, options), token, ttlSeconds })
    },
    async logOut() {
      await client.call('POST /machine/logouts', {}, { token: session.token })
    },
  }
}

/** No person's login goes along, whoever is logged in here. */
function clientOf(io: Io, { certificateFile, keyFile, caFile }: MachineOptions): ControlClient {
  if (certificateFile !== undefined && (io.server === null || keyFile === undefined))
    throw new KeywardError('usage', 'A certificate is shown to a server: give --server URL and --key-file F as well.')
  if (io.server === null) return io.client()
  const authority = caFile === undefined ? null : read(io, caFile)
  const shown =
    certificateFile === undefined || keyFile === undefined
      ? {}
      : { client: { certificate: read(io, certificateFile), key: read(io, keyFile) } }
  return createControlClient({ url: io.server, token: null, authority, ...shown })
}

function proofOf(io: Io, options: MachineOptions): { enrolment?: string; jwt?: string; certificate?: true } {
  const { enrolmentFile, jwtFile, tokenFile, certificateFile } = options
  const proofs = [
    ...(enrolmentFile === undefined ? [] : [{ enrolment: read(io, enrolmentFile) }]),
    ...[jwtFile, tokenFile].flatMap((file) => (file === undefined ? [] : [{ jwt: read(io, file) }])),
    ...(certificateFile === undefined ? [] : [{ certificate: true as const }]),
  ]
  const [proof, ...others] = proofs
  if (proof === undefined || others.length > 0)
    throw new KeywardError('usage', 'Give one of --enrolment-file, --jwt-file and --certificate-file.')
  return proof
}

function read(io: Io, file: string): string {
  const path = resolve(io.workingDirectory, file)
  try {
    if (statSync(path).size > 4 * JWT_MAXIMUM_CHARACTERS)
      throw new KeywardError('file_invalid', `${path} is too large.`)
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if (error instanceof KeywardError) throw error
    throw new KeywardError('file_invalid', `${path} cannot be read.`, { cause: error })
  }
}
