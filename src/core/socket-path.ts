import { createHash } from 'node:crypto'

/** Unix socket paths are cut at 104 bytes on macOS and 108 on Linux; this leaves room for the final zero. */
export const MAX_SOCKET_PATH_BYTES = 100

/**
 * Where the control API of a home listens: `<home>/control.sock`, or, where that is longer than a
 * socket path may be, a folder of its own under `temporaryDirectory`, named by user and home, so that
 * server and client find each other without asking. Both are absolute paths.
 */
export function controlSocketPath(home: string, temporaryDirectory: string, userId: number): string {
  return socketPath(home, 'control.sock', temporaryDirectory, userId)
}

/** The same rule for any socket of a home; `name` is its file name. */
export function socketPath(home: string, name: string, temporaryDirectory: string, userId: number): string {
  const direct = `${home}/${name}`
  if (Buffer.byteLength(direct) <= MAX_SOCKET_PATH_BYTES) return direct
  const digest = createHash('sha256').update(home).digest('hex').slice(0, 24)
  return `${temporaryDirectory}/keyward-${userId}-${digest}/${name}`
}
