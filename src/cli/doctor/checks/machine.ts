import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import type { Config } from '../../../config.ts'
import type { JournalReport } from '../../../journal/verify.ts'
import { databaseFile } from '../../../stores/index.ts'
import type { Io } from '../../io.ts'
import { closed, notClosed } from '../finding.ts'
import type { Finding } from '../finding.ts'

const LEAST_NODE = 24
const LEAST_DISK_BYTES = 256 * 1024 * 1024
const FULL_DISK_BYTES = 16 * 1024 * 1024
const CLOCK_TOLERANCE_MILLISECONDS = 5_000
/** No clock that is right shows less: the first release is younger. */
const EARLIEST_MILLISECONDS = Date.UTC(2025, 0, 1)

export async function checkMachine(
  io: Io,
  config: Config,
  journal: JournalReport,
  files: ReadonlyMap<string, string>,
): Promise<Finding[]> {
  return [
    ...checkOwned(io, config),
    checkJournal(journal),
    checkClock(journal, Date.now()),
    await checkDisk(io.home),
    checkNode(),
    checkBundle(files),
    ...checkExtraAuthorities(io),
  ]
}

/** Everything that only its owner may open, and the folders in which somebody else could put another thing in its place. */
function checkOwned(io: Io, config: Config): Finding[] {
  const key = config.passphraseFile ?? config.rootKeyFile
  const own: [string, string, string][] = [
    ['home-mode', 'the home', io.home],
    ['key-mode', config.passphraseFile === null ? 'the root key' : 'the passphrase file', key],
    ['database-mode', 'the database', databaseFile(io.home)],
    ['journal-mode', 'the journal', join(io.home, 'journal')],
    ['log-mode', 'the log', join(io.home, 'log')],
    ['control-mode', 'the control socket', io.controlSocket],
  ]
  const inside = key === io.home || key.startsWith(`${io.home}/`)
  return [
    ...own.flatMap(([id, name, path]) => checkOneOwner(id, name, path)),
    inside
      ? notClosed(
          'broken',
          'key-place',
          'machine',
          'the root key lies in the home: a copy of one is a copy of both',
          `Move it, and name its place in KEYWARD_ROOT_KEY_FILE.`,
        )
      : closed('key-place', 'machine', 'the root key lies outside the home'),
    checkParents(io.home, key),
  ]
}

function checkOneOwner(id: string, name: string, path: string): Finding[] {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined) return []
  const mode = (found.mode & 0o777).toString(8)
  if (process.getuid !== undefined && found.uid !== process.getuid()) {
    return [
      notClosed(
        'broken',
        id,
        'machine',
        `${name} belongs to another user`,
        `chown it to yourself: ${path}`,
        `uid ${found.uid}`,
      ),
    ]
  }
  // Inside a home that is closed nobody gets as far as the bits of what lies in it, but a home is copied.
  if ((found.mode & 0o077) === 0) return [closed(id, 'machine', `${name} is open to its owner alone`, `mode ${mode}`)]
  return [notClosed('broken', id, 'machine', `${name} is open to other users`, `chmod go= ${path}`, `mode ${mode}`)]
}

function checkParents(...paths: readonly string[]): Finding {
  const loose = new Set<string>()
  for (const path of paths) {
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      const mode = statSync(folder, { throwIfNoEntry: false })?.mode ?? 0
      if ((mode & 0o022) !== 0 && (mode & 0o1000) === 0) loose.add(folder)
      if (folder === dirname(folder)) break
    }
  }
  if (loose.size === 0)
    return closed('parents-mode', 'machine', 'nobody else can put another home or root key in its place')
  const [first = ''] = loose
  return notClosed(
    'open',
    'parents-mode',
    'machine',
    'others can replace the home or the root key',
    `chmod go-w ${first}`,
    [...loose].join(', '),
  )
}

function checkJournal(journal: JournalReport): Finding {
  if (journal.ok)
    return closed(
      'journal',
      'machine',
      'the journal verifies',
      `proven up to entry ${journal.provenTo} of ${journal.entries}`,
    )
  const detail = journal.problem === null ? undefined : `${journal.problem.code} at entry ${journal.problem.sequence}`
  return notClosed(
    'broken',
    'journal',
    'machine',
    'the journal is damaged',
    'Keep a copy of the home as it is; `keyward journal verify` says more.',
    detail,
  )
}

function checkClock(journal: JournalReport, now: number): Finding {
  const remedy = 'Set the clock (`timedatectl set-ntp true`): sessions, certificates and the journal live by it.'
  if (now < EARLIEST_MILLISECONDS) return notClosed('broken', 'clock', 'machine', 'the clock is far behind', remedy)
  if (journal.lastAt !== null && journal.lastAt > now + CLOCK_TOLERANCE_MILLISECONDS) {
    return notClosed('broken', 'clock', 'machine', 'the clock is behind the journal’s last entry', remedy)
  }
  return closed('clock', 'machine', 'the clock is not behind the journal')
}

async function checkDisk(home: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(home)
  const free = bavail * bsize
  const detail = `${Math.floor(free / 1024 / 1024)} MiB`
  if (free >= LEAST_DISK_BYTES) return closed('disk', 'machine', 'the disk has room for the journal', `${detail} free`)
  const remedy = 'Make room: without a journal entry every request is refused.'
  return notClosed(
    free < FULL_DISK_BYTES ? 'broken' : 'open',
    'disk',
    'machine',
    'the disk is nearly full',
    remedy,
    `${detail} free`,
  )
}

function checkNode(): Finding {
  const { node } = process.versions
  if (Number(node.split('.')[0]) >= LEAST_NODE) return closed('node', 'machine', 'Node is new enough', node)
  return notClosed('broken', 'node', 'machine', 'Node is too old', `Install Node ${LEAST_NODE} or newer.`, node)
}

/** The certificates that were laid down for the agent: Keyward's must be among them, and valid. */
function checkBundle(files: ReadonlyMap<string, string>): Finding {
  const named = (name: string): X509Certificate[] => {
    const text = [...files].find(([path]) => basename(path) === name)?.[1] ?? ''
    return certificatesIn(text)
  }
  const remedy =
    'Agents cannot trust the gateway: restart the server (`keyward down`), and install the system’s certificates.'
  const [own] = named('ca.pem')
  const bundle = named('bundle.pem')
  if (own === undefined || !bundle.some((one) => one.fingerprint256 === own.fingerprint256)) {
    return notClosed('broken', 'authorities', 'machine', 'Keyward’s authority is not in the agent’s bundle', remedy)
  }
  const now = Date.now()
  if (own.validFromDate.getTime() > now || own.validToDate.getTime() < now) {
    return notClosed(
      'broken',
      'authorities',
      'machine',
      'Keyward’s authority is not valid now',
      remedy,
      `${own.validFrom} to ${own.validTo}`,
    )
  }
  if (bundle.length < 2)
    return notClosed(
      'open',
      'authorities',
      'machine',
      'the system has no certificates',
      'Install the package ca-certificates.',
    )
  return closed(
    'authorities',
    'machine',
    'the agent’s bundle has the system’s authorities and Keyward’s',
    `${bundle.length} certificates`,
  )
}

function checkExtraAuthorities(io: Io): Finding[] {
  return ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'].flatMap((name) => {
    const path = io.environment[name] ?? ''
    if (path === '') return []
    const id = `authorities-${name.toLowerCase().replaceAll('_', '-')}`
    try {
      if (certificatesIn(readFileSync(path, 'latin1')).length > 0)
        return [closed(id, 'machine', `${name} names certificates`)]
    } catch {
      // Said below, like a file without any.
    }
    return [notClosed('open', id, 'machine', `${name} names a file without certificates`, `Correct or unset ${name}.`)]
  })
}

function certificatesIn(text: string): X509Certificate[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  return found.flatMap((pem) => {
    try {
      return [new X509Certificate(pem)]
    } catch {
      return []
    }
  })
}
