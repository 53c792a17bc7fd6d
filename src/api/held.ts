import { hostsOf } from '../services/hosts.ts'
import type { Service } from '../services/service.ts'
import type { HeldView } from './answers.ts'
import type { ControlParts } from './parts.ts'

/**
 * Credentials of the session, oldest first, so that the variables of a service go to the one that was
 * there first. A base-URL variable that would lead another held service's SDK astray is left out: the
 * SDK it belongs to then goes through the proxy (docs/decisions/0008).
 */
export function heldOf(
  parts: Pick<ControlParts, 'credentials' | 'services' | 'gatewayAddress'>,
  environment: string,
  placeholders: readonly { credentialId: string; field: string; text: string }[],
): HeldView[] {
  const granted = new Set(placeholders.map((one) => one.credentialId))
  const views: HeldView[] = []
  const listed = parts.credentials
    .list(environment)
    .toSorted((a, b) => a.record.createdAt - b.record.createdAt || a.record.name.localeCompare(b.record.name))
  const usable = listed.flatMap(({ id, record, publicFields }) => {
    const service = granted.has(id) ? parts.services.get(record.service) : undefined
    return service === undefined ? [] : [{ id, record, publicFields, service }]
  })
  const shadowing = new Set(usable.flatMap(({ service }) => service.variables.shadowedBy ?? []))
  for (const { id, record, publicFields, service } of usable) {
    const texts = new Map(placeholders.filter((one) => one.credentialId === id).map((one) => [one.field, one.text]))
    views.push({
      name: record.name,
      service: service.id,
      fields: fieldsOf(service, texts, publicFields),
      hosts: hostsOf(service, publicFields),
      baseUrl: {
        url: `http://${parts.gatewayAddress}/s/${service.id}${service.variables.basePath ?? ''}`,
        variables: (service.variables.baseUrl ?? []).filter((name) => !shadowing.has(name)),
      },
    })
  }
  return views
}

function fieldsOf(
  service: Service,
  texts: ReadonlyMap<string, string>,
  publicFields: Readonly<Record<string, string>>,
): HeldView['fields'] {
  return Object.entries(service.fields).flatMap(([field, kind]) => {
    const text = kind === 'secret' ? texts.get(field) : publicFields[field]
    return text === undefined ? [] : [{ field, kind, text, variables: service.variables.fields[field] ?? [] }]
  })
}
