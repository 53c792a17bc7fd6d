import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { z } from 'zod'
import type { RemoteServer } from '../client/control-client.ts'
import { KeywardError } from '../core/errors.ts'
import { isLoopback } from '../gateway/egress.ts'

type Variables = Readonly<Record<string, string | undefined>>

/** One login on a server elsewhere. */
export interface StoredLogin {
  readonly token: string
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number
  /** PEM text of the authorities that are trusted for it alone; null: the usual ones. */
  readonly authority: string | null
}

const stored = z.record(
  z.string(),
  z.strictObject({ token: z.string(), expiresAt: z.number(), authority: z.string().nullable() }),
)

/** Servers that a person is logged in on at a time. */
export const STORED_LOGINS_MAXIMUM = 100

/** The server that somebody named, or null where nobody did. Throws `usage` where it could be asked in clear over a network. */
export function serverOf(text: string | undefined): URL | null {
  if (text === undefined || text === '') return null
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '')
    throw new KeywardError('usage', 'A server is written https://HOST:PORT.')
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (url.protocol === 'https:' || (url.protocol === 'http:' && (host === 'localhost' || isLoopback(host)))) return url
  throw new KeywardError('usage', 'A server elsewhere is asked over https alone.')
}

export function remoteServer(url: URL, variables: Variables): RemoteServer {
  const login = readLogins(variables)[url.origin]
  return { url, token: login?.token ?? null, authority: login?.authority ?? null }
}

export function keepLogin(url: URL, login: StoredLogin | null, variables: Variables): void {
  const { [url.origin]: _, ...others } = readLogins(variables)
  const now = Date.now()
  const live = Object.entries(others).filter(([, { expiresAt }]) => expiresAt > now)
  const kept = live.slice(-STORED_LOGINS_MAXIMUM + 1)
  writeLogins(Object.fromEntries(login === null ? kept : [...kept, [url.origin, login]]), variables)
}

function readLogins(variables: Variables): Record<string, StoredLogin> {
  const path = pathOf(variables)
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined) return {}
  if (found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0)
    throw new KeywardError('home_unsafe', `${path} is open to others, or not this user's.`)
  try {
    return stored.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    // The parser's own words would quote the file, which holds logins.
    throw new KeywardError('config_invalid', `${path} is not a list of logins: remove it, and log in again.`)
  }
}

function writeLogins(logins: Record<string, StoredLogin>, variables: Variables): void {
  const path = pathOf(variables)
  mkdirSync(folderOf(variables), { recursive: true, mode: 0o700 })
  const fresh = `${path}.${process.pid}`
  writeFileSync(fresh, `${JSON.stringify(logins, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  chmodSync(fresh, 0o600)
  renameSync(fresh, path)
}

/** Not in a home, for the person's machine may have none (XDG Base Directory Specification). */
function folderOf(variables: Variables): string {
  const configured = variables['XDG_CONFIG_HOME'] ?? ''
  return join(configured.startsWith('/') ? configured : join(variables['HOME'] ?? homedir(), '.config'), 'keyward')
}

function pathOf(variables: Variables): string {
  return join(folderOf(variables), 'logins.json')
}
