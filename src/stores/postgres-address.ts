import { isIP } from 'node:net'
import { KeywardError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'

export const DATABASE_URL_CHARACTERS_MAXIMUM = 4096
const DEFAULT_PORT = 5432

/** A PostgreSQL database, as KEYWARD_DATABASE_URL names it. Printing it in any way shows no password. */
export interface PostgresAddress {
  /** A name, an IP address, or the absolute path of the folder with the server's Unix socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
  /** Empty where the server asks for none. */
  readonly password: Secret
  /** Null: without TLS, which a Unix socket and loopback may do. Otherwise the certificate must verify for `host`. */
  readonly tls: { readonly authorityFile: string | null } | null
  /** For people: all of it but the password. */
  readonly shown: string
}

/**
 * Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…&sslrootcert=FILE`. A Unix socket is
 * written as libpq does: its folder, percent-encoded, in place of the host. Throws `config_invalid`,
 * which never repeats a part of the text: a mistyped URL may have its password anywhere.
 */
export function readPostgresUrl(text: string): PostgresAddress {
  const url = text.length <= DATABASE_URL_CHARACTERS_MAXIMUM && URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^postgres(?:ql)?:$/.test(url.protocol) || url.hash !== '')
    throw invalid('must be written postgres://USER:PASSWORD@HOST:PORT/DATABASE, with odd characters percent-encoded')
  const host = decoded(url.hostname).replace(/^\[(.*)\]$/, '$1')
  const user = decoded(url.username)
  const database = decoded(url.pathname.slice(1))
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
  if (host === '' || user === '' || database === '' || port === 0) throw invalid('must name user, host and database')
  if (/\p{Cc}/u.test(`${host}${user}${database}`)) throw invalid('holds a control character')
  const local = host.startsWith('/') || isLoopback(host)
  const tls = readTls(url.searchParams, host, local)
  const place = host.startsWith('/') ? encodeURIComponent(host) : isIP(host) === 6 ? `[${host}]` : host
  return {
    host,
    port,
    user,
    database,
    password: Secret.fromText('database password', decoded(url.password)),
    tls,
    shown: `postgres://${encodeURIComponent(user)}@${place}:${port}/${encodeURIComponent(database)}${tls === null ? '' : '?sslmode=verify-full'}`,
  }
}

/** Two modes of libpq's six: the others connect without checking whom they reach, or without saying that they do. */
function readTls(parameters: URLSearchParams, host: string, local: boolean): PostgresAddress['tls'] {
  const names = [...parameters.keys()]
  if (new Set(names).size !== names.length || names.some((name) => name !== 'sslmode' && name !== 'sslrootcert'))
    throw invalid('takes the parameters sslmode and sslrootcert, each once, and no other')
  const mode = parameters.get('sslmode') ?? (local ? 'disable' : 'verify-full')
  const authorityFile = parameters.get('sslrootcert')
  if (mode !== 'disable' && mode !== 'verify-full') throw invalid('takes sslmode=verify-full or sslmode=disable')
  if (mode === 'disable') {
    if (!local) throw invalid('may say sslmode=disable for a Unix socket or a loopback address only')
    if (authorityFile !== null) throw invalid('names sslrootcert, and TLS is off')
    return null
  }
  if (host.startsWith('/')) throw invalid('asks for TLS on a Unix socket, where there is none')
  if (authorityFile !== null && !authorityFile.startsWith('/'))
    throw invalid('must name sslrootcert by an absolute path')
  return { authorityFile }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw invalid('holds a percent sign that encodes nothing')
  }
}

function invalid(what: string): KeywardError {
  return new KeywardError('config_invalid', `KEYWARD_DATABASE_URL ${what}.`)
}
