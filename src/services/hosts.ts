import { getPublicSuffix } from 'tldts'
import type { Service } from './service.ts'

const label = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/
const fieldLabel = /^\{([^{}]+)\}$/
const maximumHostLength = 253

/** Whether a host pattern covers `host` (lower-case, no trailing dot). `*` and `{field}`, as the first label, stand for exactly one label. */
export function hostMatches(pattern: string, host: string): boolean {
  if (pattern === host) return true
  if (!pattern.startsWith('*.') && !pattern.startsWith('{')) return false
  const dot = host.indexOf('.')
  return label.test(host.slice(0, Math.max(dot, 0))) && host.slice(dot) === pattern.slice(pattern.indexOf('.'))
}

/**
 * The hosts of one credential: the service's, with `{field}` filled in from its public fields. A host
 * whose field is missing or is not one DNS label is left out, so that such a credential goes nowhere.
 */
export function hostsOf(
  service: Pick<Service, 'hosts'>,
  publicFields: Readonly<Record<string, string>>,
): readonly string[] {
  if (!service.hosts.some((pattern) => pattern.startsWith('{'))) return service.hosts
  return service.hosts.flatMap((pattern) => {
    const [first = '', ...rest] = pattern.split('.')
    const field = fieldLabel.exec(first)?.[1]
    if (field === undefined) return [pattern]
    const value = Object.hasOwn(publicFields, field) ? publicFields[field]?.toLowerCase() : undefined
    return value !== undefined && label.test(value) ? [[value, ...rest].join('.')] : []
  })
}

/** The public field which fills the first label of a host pattern, or null. */
export function hostField(pattern: string): string | null {
  return fieldLabel.exec(pattern.split('.', 1)[0] ?? '')?.[1] ?? null
}

/** What is wrong with a host pattern, or null. */
export function hostProblem(pattern: string): string | null {
  const labels = pattern.split('.')
  const [first = '', ...rest] = labels
  const open = first === '*' || fieldLabel.test(first)
  if (pattern.length > maximumHostLength) return 'is longer than a host name can be'
  if (pattern !== pattern.toLowerCase() && !fieldLabel.test(first)) return 'is not lower-case'
  if (!(open ? rest : labels).every((part) => label.test(part))) {
    return pattern.includes('*')
      ? 'may have * only as the whole first label'
      : 'is not a host name (no scheme, port or path)'
  }
  if (labels.length < 2) return 'needs a domain'
  if (/^\d+$/.test(labels.at(-1) ?? '')) return 'is an address; write it into endpoint'
  const under = rest.join('.')
  if (open && (rest.length < 2 || getPublicSuffix(under, { allowPrivateDomains: true }) === under)) {
    return 'would cover domains of other people'
  }
  return null
}
