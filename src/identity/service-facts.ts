import { KeywardError } from '../core/errors.ts'
import type { PlaceholderShape } from '../core/placeholder.ts'
import { detectors } from '../detectors/index.ts'
import { signingFields } from '../injectors/placement.ts'
import type { ServiceDirectory } from '../services/directory.ts'
import type { Service } from '../services/service.ts'
import type { Records } from '../vault/records.ts'

/** What the service of a credential says of it; of one whose service is gone, nothing. */
export interface ServiceFacts {
  serviceOf(credentialId: string): Service | undefined
  operationsOf(credentialId: string): NonNullable<Service['operations']>
  secretFieldsOf(credentialId: string): readonly string[]
  /** Whether the field is signed with, and never sent. */
  signsWith(credentialId: string, field: string): boolean
  /** How a placeholder for it has to look. */
  shapeOf(credentialId: string): PlaceholderShape
}

export function createServiceFacts({
  records,
  services,
}: {
  readonly records: Pick<Records, 'get'>
  readonly services: Pick<ServiceDirectory, 'get'>
}): ServiceFacts {
  function serviceOf(credentialId: string): Service | undefined {
    const record = records.get('credential', credentialId)
    return record === undefined ? undefined : services.get(record.service)
  }
  return {
    serviceOf,
    operationsOf: (credentialId) => serviceOf(credentialId)?.operations ?? [],
    secretFieldsOf: (credentialId) =>
      Object.entries(serviceOf(credentialId)?.fields ?? {}).flatMap(([name, kind]) =>
        kind === 'secret' ? [name] : [],
      ),
    signsWith: (credentialId, field) => signingFields(serviceOf(credentialId)?.inject ?? []).includes(field),
    shapeOf(credentialId) {
      const id = serviceOf(credentialId)?.detector ?? 'generic'
      const detector =
        detectors.find((candidate) => candidate.id === id) ?? detectors.find((candidate) => candidate.id === 'generic')
      if (detector === undefined) throw new KeywardError('internal', 'The generic detector is missing.')
      return detector.placeholder
    },
  }
}
