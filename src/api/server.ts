import { createAdaptorServer } from '@hono/node-server'
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import type { Server } from 'node:net'
import { dirname } from 'node:path'
import process from 'node:process'
import type { Hono } from 'hono'
import { KeywardError } from '../core/errors.ts'

/** How long a server that holds the socket may take to accept before it counts as dead. */
const PROBE_MILLISECONDS = 1000
/** How long answers under way have when the server closes. */
const GRACE_MILLISECONDS = 300
const OWNER_ONLY_FOLDER = 0o700
const OWNER_ONLY_FILE = 0o600

export interface ControlServer {
  readonly path: string
  /** Stops accepting, lets answers out, cuts streams, removes the socket. */
  close(): Promise<void>
}

/**
 * Serves the control API on a Unix socket that its owner alone can open. A socket left behind by a
 * dead server is removed; a live one is KeywardError `home_in_use`; a folder that others can enter is
 * `home_unsafe`.
 */
export async function listenControl(api: Hono, path: string): Promise<ControlServer> {
  ownFolder(dirname(path))
  await removeStale(path)
  const server = createAdaptorServer({ fetch: api.fetch })
  // Between bind and chmod the folder's mode already keeps others out.
  await listen(server, path)
  chmodSync(path, OWNER_ONLY_FILE)
  return {
    path,
    close: () => closeGently(server),
  }
}

/** Answers that are under way (that of the shutdown itself) are let out; streams are cut. */
function closeGently(server: ReturnType<typeof createAdaptorServer>): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => 'closeAllConnections' in server && server.closeAllConnections(), GRACE_MILLISECONDS)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
  })
}

/** Makes a folder that its owner alone can enter, or checks that this one is. Throws `home_unsafe`. */
export function ownFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: OWNER_ONLY_FOLDER })
  const found = lstatSync(folder)
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new KeywardError('home_unsafe', `${folder} is not a folder of this user.`)
  }
  if ((found.mode & 0o077) !== 0) throw new KeywardError('home_unsafe', `${folder} is open to others.`)
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw new KeywardError('home_unsafe', `${path} is in the way and is not a socket.`)
  if (await accepts(path)) throw new KeywardError('home_in_use', `A server answers on ${path}.`)
  unlinkSync(path)
}

/** Whether somebody accepts connections there. A full backlog counts as alive, for it has an owner. */
function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const finish = (alive: boolean): void => {
      socket.destroy()
      resolve(alive)
    }
    socket.setTimeout(PROBE_MILLISECONDS, () => finish(true))
    socket.once('connect', () => finish(true))
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code === 'EAGAIN'))
  })
}

function listen(server: Pick<Server, 'listen' | 'once' | 'off'>, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void =>
      reject(error.code === 'EADDRINUSE' ? new KeywardError('home_in_use', `A server answers on ${path}.`) : error)
    server.once('error', refuse)
    server.listen(path, () => {
      server.off('error', refuse)
      resolve()
    })
  })
}
