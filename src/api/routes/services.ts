import { KeywardError } from '../../core/errors.ts'
import { describeRule } from '../../injectors/placement.ts'
import { parseService } from '../../services/definition.ts'
import { services as builtIn } from '../../services/index.ts'
import type { Service } from '../../services/service.ts'
import type { ControlParts, Handlers } from '../parts.ts'
import type { ServiceView } from '../answers.ts'

function serviceView(parts: ControlParts, service: Service): ServiceView {
  return {
    id: service.id,
    name: service.name,
    hosts: service.hosts,
    endpoint: service.endpoint ?? null,
    fields: service.fields,
    inject: service.inject.map(describeRule),
    variables: {
      fields: service.variables.fields,
      baseUrl: service.variables.baseUrl ?? [],
      basePath: service.variables.basePath ?? '',
    },
    operations: service.operations,
    speaks: service.speaks ?? [],
    detector: service.detector ?? null,
    checked: service.checked,
    source: service.source,
    own: parts.records.get('service', service.id) !== undefined,
  }
}

export const serviceRoutes: Handlers<
  'GET /services' | 'GET /services/:service' | 'POST /services' | 'DELETE /services/:service'
> = {
  'GET /services': (parts) =>
    parts.services
      .list()
      .map((service) => serviceView(parts, service))
      .toSorted((a, b) => a.id.localeCompare(b.id)),

  'GET /services/:service': (parts, { path }) => {
    const service = parts.services.get(path.service)
    if (service === undefined) throw new KeywardError('service_unknown', `No service has the id ${path.service}.`)
    return serviceView(parts, service)
  },

  'POST /services': async (parts, { input, actor }) => {
    const readTrust = (path: string): string => {
      if (input.trust === undefined) throw new KeywardError('file_invalid', `The file ${path} was not sent along.`)
      return input.trust
    }
    const service = parseService(input.definition, readTrust, builtIn)
    if (parts.records.get('service', service.id) !== undefined) {
      throw new KeywardError('already_exists', `There is a service ${service.id} already; remove it first.`)
    }
    await parts.records.commit(
      [{ table: 'service', id: service.id, body: { definition: service, createdAt: parts.now() } }],
      { actor, action: 'service.add', detail: { service: service.id } },
    )
    return serviceView(parts, service)
  },

  'DELETE /services/:service': async (parts, { path, actor }) => {
    if (parts.records.get('service', path.service) === undefined) {
      const own = parts.services.get(path.service) === undefined
      throw new KeywardError(
        own ? 'service_unknown' : 'not_found',
        own ? `No service has the id ${path.service}.` : `${path.service} came with Keyward and cannot be removed.`,
      )
    }
    const holders = [...parts.records.all('credential').values()].filter((record) => record.service === path.service)
    const remains = builtIn.some((service) => service.id === path.service)
    if (holders.length > 0 && !remains) {
      throw new KeywardError(
        'still_in_use',
        `Credentials of ${path.service}: ${holders.map((one) => one.name).join(', ')}.`,
      )
    }
    await parts.records.commit([{ table: 'service', id: path.service, body: null }], {
      actor,
      action: 'service.remove',
      detail: { service: path.service },
    })
    return { done: true }
  },
}
