import { KeywardError } from '../core/errors.ts'
import type { ServiceRecord } from '../core/records.ts'
import { serviceProblems } from './check.ts'
import { hostMatches } from './hosts.ts'
import { serviceRow } from './schema.ts'
import type { Service } from './service.ts'

/** Every service that exists now: those that come with Keyward, and the operator's own, which win. */
export interface ServiceDirectory {
  get(id: string): Service | undefined
  /** In the order of their ids. */
  list(): readonly Service[]
  /**
   * Services that list this host (lower-case, no trailing dot). A pattern with `{field}` lists every
   * host of its form here: whether a credential may go there is for `hostsOf` to say.
   */
  forHost(host: string): readonly Service[]
}

/**
 * `own` gives the current table of the operator's services. A definition in it is checked when it is
 * first seen; one that is not valid throws KeywardError `file_invalid`, naming the service.
 */
export function createDirectory(parts: {
  readonly builtIn: readonly Service[]
  readonly own: () => ReadonlyMap<string, ServiceRecord>
}): ServiceDirectory {
  const parsed = new WeakMap<ServiceRecord, Service>()
  const builtIn: ReadonlyMap<string, Service> = new Map(parts.builtIn.map((service) => [service.id, service]))

  function read(id: string, record: ServiceRecord): Service {
    const known = parsed.get(record)
    if (known !== undefined) return known
    const result = serviceRow.safeParse(record.definition)
    if (!result.success) throw new KeywardError('file_invalid', `The stored service ${id} cannot be read.`)
    const [problem] = serviceProblems(result.data)
    if (problem !== undefined || result.data.id !== id) {
      throw new KeywardError('file_invalid', `The stored service ${id}: ${problem?.message ?? 'it has another id'}.`)
    }
    parsed.set(record, result.data)
    return result.data
  }

  function list(): Service[] {
    const all = new Map(builtIn)
    for (const [id, record] of parts.own()) all.set(id, read(id, record))
    return [...all.values()].toSorted((left, right) => (left.id < right.id ? -1 : 1))
  }

  return {
    get(id) {
      const record = parts.own().get(id)
      return record === undefined ? builtIn.get(id) : read(id, record)
    },
    list,
    forHost(host) {
      const own = parts.own()
      const found: Service[] = []
      for (const [id, record] of own) {
        const service = read(id, record)
        if (lists(service, host)) found.push(service)
      }
      for (const service of parts.builtIn) if (!own.has(service.id) && lists(service, host)) found.push(service)
      return found
    },
  }
}

function lists(service: Service, host: string): boolean {
  return service.hosts.some((pattern) => hostMatches(pattern, host))
}
