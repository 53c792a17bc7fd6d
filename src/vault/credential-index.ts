import type { CredentialRecord, VersionRecord } from '../core/records.ts'
import type { Change, Records } from './records.ts'

/** Look-ups over the credential and version tables, kept equal to them by every commit. */
export interface CredentialIndex {
  idOf(environment: string, name: string): string | undefined
  /** Versions of a credential by number. */
  versionsOf(credentialId: string): ReadonlyMap<number, VersionRecord>
  currentOf(credentialId: string): VersionRecord | undefined
  /** Credentials that have a version, not revoked, with a secret of this fingerprint. */
  holdersOf(fingerprint: string): ReadonlySet<string>
  /** Called with the id of each credential whose record or versions changed. */
  onChange(listener: (credentialId: string) => void): void
}

/** The id of the row of a version. */
export function versionId(credentialId: string, number: number): string {
  return `${credentialId}.${number}`
}

export function createCredentialIndex(records: Records): CredentialIndex {
  const names = new Map<string, string>()
  const versions = new Map<string, Map<number, VersionRecord>>()
  const holders = new Map<string, Set<string>>()
  const known = new Map<string, CredentialRecord>()
  const listeners: ((credentialId: string) => void)[] = []

  function setCredential(id: string, record: CredentialRecord | null): void {
    const before = known.get(id)
    if (before !== undefined) names.delete(nameKey(before.environment, before.name))
    if (record === null) known.delete(id)
    else {
      known.set(id, record)
      names.set(nameKey(record.environment, record.name), id)
    }
  }

  function setVersion(credentialId: string, number: number, record: VersionRecord | null): void {
    const ofCredential = versions.get(credentialId) ?? new Map<number, VersionRecord>()
    const before = ofCredential.get(number)
    if (record === null) ofCredential.delete(number)
    else ofCredential.set(number, record)
    if (ofCredential.size === 0) versions.delete(credentialId)
    else versions.set(credentialId, ofCredential)
    const touched = new Set([...fingerprintsOf(before), ...fingerprintsOf(record ?? undefined)])
    for (const fingerprint of touched) recount(fingerprint, credentialId)
  }

  function recount(fingerprint: string, credentialId: string): void {
    const stillHeld = [...(versions.get(credentialId)?.values() ?? [])].some(
      (version) => version.state !== 'revoked' && fingerprintsOf(version).includes(fingerprint),
    )
    const ids = holders.get(fingerprint) ?? new Set<string>()
    if (stillHeld) ids.add(credentialId)
    else ids.delete(credentialId)
    if (ids.size === 0) holders.delete(fingerprint)
    else holders.set(fingerprint, ids)
  }

  function follow(change: Change): string | null {
    if (change.table === 'credential') {
      setCredential(change.id, change.body)
      return change.id
    }
    if (change.table !== 'version') return null
    const mark = change.id.lastIndexOf('.')
    const credentialId = change.id.slice(0, mark)
    setVersion(credentialId, Number(change.id.slice(mark + 1)), change.body)
    return credentialId
  }

  for (const [id, body] of records.all('credential')) follow({ table: 'credential', id, body })
  for (const [id, body] of records.all('version')) follow({ table: 'version', id, body })
  records.onCommit((changes) => {
    for (const change of changes) {
      const touched = follow(change)
      if (touched !== null) for (const listener of listeners) listener(touched)
    }
  })

  return {
    idOf: (environment, name) => names.get(nameKey(environment, name)),
    versionsOf: (credentialId) => versions.get(credentialId) ?? new Map<number, VersionRecord>(),
    currentOf(credentialId) {
      for (const version of versions.get(credentialId)?.values() ?? []) if (version.state === 'current') return version
      return undefined
    },
    holdersOf: (fingerprint) => holders.get(fingerprint) ?? new Set<string>(),
    onChange(listener) {
      listeners.push(listener)
    },
  }
}

function fingerprintsOf(version: VersionRecord | undefined): string[] {
  return version === undefined ? [] : Object.values(version.fingerprints)
}

function nameKey(environment: string, name: string): string {
  return `${environment}\u0000${name}`
}
