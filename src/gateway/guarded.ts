import { getDomain } from 'tldts'
import { hostMatches, hostsOf } from '../services/hosts.ts'
import type { ServiceDirectory } from '../services/directory.ts'
import type { Service } from '../services/service.ts'
import type { Credentials } from '../vault/credentials.ts'
import type { Records } from '../vault/records.ts'

/** A credential that is held, its service, and the hosts to which it may go. */
export interface Held {
  readonly credentialId: string
  readonly service: Service
  readonly hosts: readonly string[]
}

/** Which hosts are guarded: those of services with a credential in the environment. */
export interface Guarded {
  /** Credentials of the environment whose service lists `host`; empty: nobody guards it. */
  at(environment: string, host: string): readonly Held[]
  /** Whether `host` is not listed itself but shares its registrable domain with a guarded host. */
  isSibling(environment: string, host: string): boolean
  of(credentialId: string): Held | undefined
}

/** Hosts whose answer is remembered for each environment. */
const REMEMBERED_MAXIMUM = 10_000

interface Territory {
  readonly exact: ReadonlyMap<string, readonly Held[]>
  readonly patterns: readonly (readonly [pattern: string, held: Held])[]
  readonly domains: ReadonlySet<string>
  readonly remembered: Map<string, readonly Held[]>
}

const nobody: readonly Held[] = []

/** Built from the records when first asked, and again after a change of credentials or services. */
export function createGuarded(parts: {
  readonly credentials: Pick<Credentials, 'list'>
  readonly services: ServiceDirectory
  readonly records: Records
}): Guarded {
  let territories = new Map<string, Territory>()
  let byCredential: ReadonlyMap<string, Held> | null = null
  parts.records.onCommit((changes) => {
    if (!changes.some(({ table }) => table === 'credential' || table === 'version' || table === 'service')) return
    territories = new Map()
    byCredential = null
  })

  function all(): ReadonlyMap<string, Held> {
    if (byCredential !== null) return byCredential
    const found = new Map<string, Held>()
    for (const { id, record, publicFields } of parts.credentials.list()) {
      const service = parts.services.get(record.service)
      if (service !== undefined) found.set(id, { credentialId: id, service, hosts: hostsOf(service, publicFields) })
    }
    byCredential = found
    return found
  }

  function territoryOf(environment: string): Territory {
    const known = territories.get(environment)
    if (known !== undefined) return known
    const exact = new Map<string, Held[]>()
    const patterns: [string, Held][] = []
    const domains = new Set<string>()
    const held = all()
    for (const { id } of parts.credentials.list(environment)) {
      const entry = held.get(id)
      for (const host of entry?.hosts ?? []) {
        if (entry === undefined) continue
        const domain = domainOf(host.startsWith('*.') ? host.slice(2) : host)
        if (domain !== null) domains.add(domain)
        if (host.startsWith('*.')) patterns.push([host, entry])
        else exact.set(host, [...(exact.get(host) ?? []), entry])
      }
    }
    const territory: Territory = { exact, patterns, domains, remembered: new Map() }
    territories.set(environment, territory)
    return territory
  }

  return {
    at(environment, host) {
      const { exact, patterns, remembered } = territoryOf(environment)
      if (patterns.length === 0) return exact.get(host) ?? nobody
      const known = remembered.get(host)
      if (known !== undefined) return known
      const found = [
        ...(exact.get(host) ?? []),
        ...patterns.flatMap(([pattern, held]) => (hostMatches(pattern, host) ? [held] : [])),
      ]
      if (remembered.size >= REMEMBERED_MAXIMUM) remembered.clear()
      remembered.set(host, found)
      return found
    },
    isSibling(environment, host) {
      const domain = domainOf(host)
      return domain !== null && territoryOf(environment).domains.has(domain) && this.at(environment, host).length === 0
    },
    of: (credentialId) => all().get(credentialId),
  }
}

function domainOf(host: string): string | null {
  return getDomain(host, { allowPrivateDomains: true })
}
