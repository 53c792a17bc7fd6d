import { lstatSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates } from 'node:tls'
import { KeywardError } from '../core/errors.ts'

export interface SessionDirectory {
  readonly directory: string
  /** The system's authorities, those that the parent's variables name, and Keyward's: for variables that replace the system's trust. */
  readonly bundlePath: string
  /** What the parent's NODE_EXTRA_CA_CERTS names, and Keyward's: for variables that add to a trust. */
  readonly extraPath: string
  readonly preloadPath: string
  remove(): void
}

export interface SessionDirectoryRequest {
  readonly caPem: string
  /** Text of `preload.cjs`. */
  readonly preloadSource: string
  readonly parentEnvironment: Readonly<Record<string, string | undefined>>
}

/**
 * The directory that holds the session directories of this user. The plan hides it from every agent
 * but for its own session (`keep`), so that no agent can change what another one loads.
 */
export function sessionRoot(): string {
  return join(realpathSync(tmpdir()), `keyward-${process.getuid?.() ?? 'user'}`)
}

/** The preload as it lies beside this module; a bundler must copy it there. */
export function readPreload(): string {
  return readFileSync(new URL('./preload.cjs', import.meta.url), 'utf8')
}

/**
 * Lays down what the programs of one session read: certificates and the preload, in a directory that
 * only its owner can open. Nothing in it is secret. Pass `directory` to the plan as `keep` and as
 * `readOnly`.
 */
export function writeSessionDirectory(request: SessionDirectoryRequest): SessionDirectory {
  const named = (name: string): string[] => certificatesIn(request.parentEnvironment[name])
  const ca = certificates(request.caPem)
  const system = getCACertificates('system')
  const roots = system.length > 0 ? system : getCACertificates('bundled')
  const directory = mkdtempSync(join(ownedRoot(), 'session-'))
  const place = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, text, { mode: 0o400, flag: 'wx' })
    return path
  }
  place('ca.pem', bundle(ca))
  return {
    directory,
    bundlePath: place(
      'bundle.pem',
      bundle([...roots, ...named('SSL_CERT_FILE'), ...named('NODE_EXTRA_CA_CERTS'), ...ca]),
    ),
    extraPath: place('extra.pem', bundle([...named('NODE_EXTRA_CA_CERTS'), ...ca])),
    preloadPath: place('preload.cjs', request.preloadSource),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

/** Makes the root, and accepts an existing one only if it is this user's alone: its name can be guessed. */
function ownedRoot(): string {
  const root = sessionRoot()
  mkdirSync(root, { recursive: true, mode: 0o700 })
  const stat = lstatSync(root)
  const owned = process.getuid === undefined || (stat.uid === process.getuid() && (stat.mode & 0o077) === 0)
  if (!stat.isDirectory() || !owned)
    throw new KeywardError('home_unsafe', `${root} belongs to somebody else or is open to others; remove it.`)
  return root
}

function certificatesIn(path: string | undefined): string[] {
  if (path === undefined || path === '') return []
  try {
    return certificates(readFileSync(path, 'latin1'))
  } catch {
    return []
  }
}

/** Certificates alone: whatever else a PEM file holds (a private key) stays behind. */
function certificates(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
}

function bundle(list: readonly string[]): string {
  const unique = new Map(list.map((pem) => [pem.replaceAll(/\s/g, ''), pem.replaceAll('\r', '').trim()]))
  return `${[...unique.values()].join('\n')}\n`
}
