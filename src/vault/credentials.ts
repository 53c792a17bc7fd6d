import { KeywardError } from '../core/errors.ts'
import type { CredentialRecord, VersionRecord } from '../core/records.ts'
import type { Secret } from '../core/secret.ts'
import type { Service } from '../services/service.ts'
import { createCredentialIndex, versionId } from './credential-index.ts'
import type { Change, Records } from './records.ts'
import { checkFieldValue, checkSecretLength } from './secret-rules.ts'
import type { Vault } from './vault.ts'

const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/

/** Versions of one credential for whose secrets answers are searched. */
export const VERSIONS_SEARCHED_FOR = 16

/** What is put into requests: secret fields as Secret, public ones as text. */
export interface OpenVersion {
  readonly number: number
  readonly fields: Readonly<Record<string, Secret | string>>
}

export interface NewCredential {
  readonly name: string
  readonly environment: string
  /** Id of its service. */
  readonly service: string
  /** Every field that the service names, public ones too. */
  readonly fields: Readonly<Record<string, Secret>>
  readonly owner: string | null
  readonly sensitivity: CredentialRecord['sensitivity']
}

export interface ListedCredential {
  readonly id: string
  readonly record: CredentialRecord
  /** Number of the current version. */
  readonly version: number | null
  readonly publicFields: Readonly<Record<string, string>>
}

export interface Credentials {
  /** Throws `usage`, `already_exists`, `not_found` (environment), `service_unknown`, `field_missing`, `secret_invalid`, `secret_reused`. */
  add(credential: NewCredential, actor: string): Promise<{ id: string }>
  /** A new version with these fields and the others carried over; it becomes current, and the one before is revoked. */
  set(id: string, fields: Readonly<Record<string, Secret>>, actor: string): Promise<{ version: number }>
  /**
   * The row of the first version of a credential that has none, to be committed together with other changes.
   * `service` may be one that the same commit brings. Throws `field_missing`, `secret_invalid`, `secret_reused`.
   */
  firstVersion(
    id: string,
    credential: Pick<CredentialRecord, 'environment' | 'service'>,
    service: Pick<Service, 'id' | 'fields'>,
    fields: Readonly<Record<string, Secret>>,
  ): { readonly id: string; readonly body: VersionRecord }
  suspend(id: string, actor: string): Promise<void>
  resume(id: string, actor: string): Promise<void>
  /** Throws `still_in_use` while grants refer to it, unless `cascade` removes them too. */
  remove(id: string, actor: string, options?: { readonly cascade?: boolean }): Promise<void>
  /** Journaled first. */
  reveal(id: string, field: string, actor: string): Promise<Secret>
  find(environment: string, name: string): { id: string; record: CredentialRecord } | undefined
  list(environment?: string): ListedCredential[]
  /**
   * The current version, opened; kept until the credential changes. Throws `credential_missing`,
   * `credential_suspended` or `vault_damaged`.
   */
  current(id: string): OpenVersion
  /**
   * The newest versions on record, revoked ones included, suspended or not: what answers are searched for,
   * since a vendor may accept a replaced key for as long as nobody revokes it there. Throws `vault_damaged`.
   */
  onRecord(id: string): readonly OpenVersion[]
}

export function createCredentials(options: {
  readonly records: Records
  readonly vault: Vault
  readonly service: (id: string) => Service | undefined
  readonly now: () => number
  readonly newId: () => string
}): Credentials {
  const { records, vault, service, now, newId } = options
  const index = createCredentialIndex(records)
  const opened = new Map<string, OpenVersion>()
  index.onChange((id) => opened.delete(id))

  function get(id: string): CredentialRecord {
    const record = records.get('credential', id)
    if (record === undefined) throw new KeywardError('not_found', 'There is no such credential.')
    return record
  }

  function fieldsOf(serviceId: string): Service['fields'] {
    const found = service(serviceId)
    if (found === undefined) throw new KeywardError('service_unknown', `Service ${serviceId} is not known.`)
    return found.fields
  }

  function checkFields(
    serviceId: string,
    fields: Readonly<Record<string, Secret>>,
    declared = fieldsOf(serviceId),
  ): void {
    for (const [field, value] of Object.entries(fields)) {
      if (!Object.hasOwn(declared, field)) {
        throw new KeywardError(
          'secret_invalid',
          `Service ${serviceId} has no field of that name; it has ${Object.keys(declared).join(', ')}.`,
        )
      }
      checkFieldValue(field, value)
      if (declared[field] === 'secret') checkSecretLength(field, value)
    }
  }

  function refuseReuse(environment: string, fingerprints: readonly string[]): void {
    for (const fingerprint of fingerprints) {
      for (const holder of index.holdersOf(fingerprint)) {
        const other = records.get('credential', holder)
        if (other !== undefined && other.environment !== environment) {
          throw new KeywardError(
            'secret_reused',
            `It is the secret of credential ${other.name} in environment ${other.environment}.`,
          )
        }
      }
    }
  }

  function newVersion(
    id: string,
    credential: Pick<CredentialRecord, 'environment' | 'service'>,
    number: number,
    fields: Readonly<Record<string, Secret>>,
    publicBefore: Readonly<Record<string, string>>,
    declared = fieldsOf(credential.service),
  ): VersionRecord {
    const { environment } = credential
    const secrets: [string, Secret][] = []
    const publics: [string, string][] = Object.entries(publicBefore)
    for (const [field, value] of Object.entries(fields)) {
      if (declared[field] === 'public') publics.push([field, value.revealText()])
      else secrets.push([field, value])
    }
    const present = new Set([...secrets, ...publics].map(([field]) => field))
    for (const field of Object.keys(declared)) {
      if (!present.has(field))
        throw new KeywardError('field_missing', `Service ${credential.service} needs the field ${field}.`)
    }
    const fingerprints = secrets.map(([field, value]) => [field, vault.fingerprint(value)] as const)
    refuseReuse(
      environment,
      fingerprints.map(([, fingerprint]) => fingerprint),
    )
    return {
      credentialId: id,
      number,
      state: 'current',
      publicFields: Object.fromEntries(publics),
      ...vault.sealVersion({ environment, credentialId: id, number }, Object.fromEntries(secrets)),
      fingerprints: Object.fromEntries(fingerprints),
      createdAt: now(),
    }
  }

  function openCurrent(id: string): OpenVersion {
    const version = index.currentOf(id)
    if (version === undefined) throw new KeywardError('credential_missing', 'The credential has no current version.')
    return open(id, version)
  }

  function open(id: string, version: VersionRecord): OpenVersion {
    const { environment } = get(id)
    const { number, publicFields } = version
    const secrets = vault.openVersion({ environment, credentialId: id, number }, version)
    return Object.freeze({ number, fields: Object.freeze({ ...publicFields, ...secrets }) })
  }

  async function setState(id: string, state: CredentialRecord['state'], actor: string): Promise<void> {
    const action = state === 'suspended' ? 'credential.suspend' : 'credential.resume'
    await records.commit(() => [{ table: 'credential', id, body: { ...get(id), state } }], {
      actor,
      action,
      detail: about(id),
    })
  }

  function about(id: string) {
    const { name, environment } = get(id)
    return { name, environment }
  }

  return {
    async add({ name, environment, service: serviceId, fields, owner, sensitivity }, actor) {
      if (!NAME.test(name))
        throw new KeywardError('usage', 'A name has letters, digits, dot, dash, underscore or @, at most 128 of them.')
      checkFields(serviceId, fields)
      const id = newId()
      await records.commit(
        () => {
          if (records.get('environment', environment) === undefined) {
            throw new KeywardError('not_found', 'There is no such environment.')
          }
          if (index.idOf(environment, name) !== undefined)
            throw new KeywardError('already_exists', `Credential ${name} in ${environment}.`)
          const createdAt = now()
          const record = {
            name,
            environment,
            service: serviceId,
            owner,
            sensitivity,
            state: 'active',
            createdAt,
          } as const
          return [
            { table: 'credential', id, body: record },
            { table: 'version', id: versionId(id, 1), body: newVersion(id, record, 1, fields, {}) },
          ]
        },
        { actor, action: 'credential.add', detail: { name, environment, service: serviceId } },
      )
      return { id }
    },
    async set(id, fields, actor) {
      checkFields(get(id).service, fields)
      if (Object.keys(fields).length === 0) throw new KeywardError('usage', 'No field was given.')
      let number = 0
      await records.commit(
        () => {
          const record = get(id)
          const before = index.currentOf(id)
          number = Math.max(0, ...index.versionsOf(id).keys()) + 1
          const declared = fieldsOf(record.service)
          // Opened only where something is carried over, so that a damaged version can be replaced.
          const isWhole = Object.keys(declared).every(
            (field) => declared[field] === 'public' || Object.hasOwn(fields, field),
          )
          const place = { environment: record.environment, credentialId: id, number: before?.number ?? 0 }
          const carried = before === undefined || isWhole ? {} : vault.openVersion(place, before)
          const kept = Object.fromEntries(Object.entries(carried).filter(([field]) => declared[field] === 'secret'))
          const keptPublic = Object.entries(before?.publicFields ?? {}).filter(
            ([field]) => declared[field] === 'public',
          )
          const body = newVersion(id, record, number, { ...kept, ...fields }, Object.fromEntries(keptPublic))
          for (const secret of Object.values(carried)) secret.destroy()
          const changes: Change[] = [{ table: 'version', id: versionId(id, number), body }]
          if (before !== undefined) {
            changes.push({ table: 'version', id: versionId(id, before.number), body: { ...before, state: 'revoked' } })
          }
          return changes
        },
        { actor, action: 'credential.set', detail: { ...about(id), fields: Object.keys(fields) } },
      )
      return { version: number }
    },
    firstVersion(id, credential, { id: serviceId, fields: declared }, fields) {
      checkFields(serviceId, fields, declared)
      const number = Math.max(0, ...index.versionsOf(id).keys()) + 1
      return { id: versionId(id, number), body: newVersion(id, credential, number, fields, {}, declared) }
    },
    suspend: (id, actor) => setState(id, 'suspended', actor),
    resume: (id, actor) => setState(id, 'active', actor),
    async remove(id, actor, { cascade = false } = {}) {
      await records.commit(
        () => {
          get(id)
          const grants = [...records.all('grant')].filter(([, grant]) => grant.credentialId === id)
          if (grants.length > 0 && !cascade) {
            throw new KeywardError(
              'still_in_use',
              grants.length === 1 ? 'One grant refers to it.' : `${grants.length} grants refer to it.`,
            )
          }
          return [
            { table: 'credential', id, body: null },
            ...[...index.versionsOf(id).keys()].map(
              (number) => ({ table: 'version', id: versionId(id, number), body: null }) as const,
            ),
            ...grants.map(([grantId]) => ({ table: 'grant', id: grantId, body: null }) as const),
          ]
        },
        { actor, action: 'credential.remove', detail: about(id) },
      )
    },
    async reveal(id, field, actor) {
      const { service: serviceId } = get(id)
      if (fieldsOf(serviceId)[field] !== 'secret')
        throw new KeywardError('not_found', 'The service has no secret field of that name.')
      await records.commit([], { actor, action: 'credential.reveal', detail: { ...about(id), field } })
      const value = openCurrent(id).fields[field]
      if (value === undefined || typeof value === 'string')
        throw new KeywardError('field_missing', `Field ${field} is not set.`)
      return value
    },
    find(environment, name) {
      const id = index.idOf(environment, name)
      return id === undefined ? undefined : { id, record: get(id) }
    },
    list(environment) {
      const listed: ListedCredential[] = []
      for (const [id, record] of records.all('credential')) {
        if (environment !== undefined && record.environment !== environment) continue
        const version = index.currentOf(id)
        listed.push({ id, record, version: version?.number ?? null, publicFields: version?.publicFields ?? {} })
      }
      return listed
    },
    current(id) {
      const cached = opened.get(id)
      if (cached !== undefined) return cached
      const record = records.get('credential', id)
      if (record === undefined) throw new KeywardError('credential_missing', 'It was removed.')
      if (record.state === 'suspended') throw new KeywardError('credential_suspended')
      const version = openCurrent(id)
      opened.set(id, version)
      return version
    },
    onRecord: (id) =>
      [...index.versionsOf(id).values()]
        .toSorted((left, right) => right.number - left.number)
        .slice(0, VERSIONS_SEARCHED_FOR)
        .map((version) => open(id, version)),
  }
}
