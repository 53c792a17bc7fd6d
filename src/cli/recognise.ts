import type { ServiceView } from '../api/answers.ts'
import { looksLikePlaceholder } from '../core/placeholder.ts'
import { detectors } from '../detectors/index.ts'
import { isKey } from '../detectors/recognise.ts'
import { referenceIn } from './reference.ts'

/** Shorter values are settings such as `true` or `dev`, whatever their variable is called. */
const MIN_KEY_CHARACTERS = 8
/** No more keys than this are taken up at once. */
export const MAX_FOUND_KEYS = 64

export interface FoundVariable {
  readonly value: string
  /** Where it stands, for the person who is asked: `the environment`, `.env`. */
  readonly origin: string
}

/** A key that lies around, with the service that it opens. */
export interface FoundKey {
  /** The name that it gets in the vault. */
  readonly credential: string
  readonly service: string
  readonly fields: Readonly<Record<string, string>>
  /** The variables that hold its secret fields. */
  readonly variables: readonly { readonly name: string; readonly field: string }[]
  readonly origin: string
  readonly characters: number
}

/**
 * The keys among these variables: those that a service's own variables name, and those whose value
 * has the shape of a service's key. References and placeholders are no keys.
 */
export function recogniseKeys(
  variables: ReadonlyMap<string, FoundVariable>,
  services: readonly ServiceView[],
): FoundKey[] {
  const open = new Map([...variables].filter(([, { value }]) => mayBeKey(value)))
  const found: FoundKey[] = []
  const taken = new Set<string>()
  const take = (service: ServiceView, variable: string, field: string): void => {
    const key = collect(service, variable, field, variables, open)
    if (key === null || found.length >= MAX_FOUND_KEYS) return
    const known = found.find((one) => one.service === key.service && sameFields(one.fields, key.fields))
    for (const used of key.variables) open.delete(used.name)
    if (known !== undefined)
      return void found.splice(found.indexOf(known), 1, { ...known, variables: [...known.variables, ...key.variables] })
    const name = taken.has(service.id)
      ? `${service.id}-${variable.toLowerCase().replaceAll('_', '-')}`.slice(0, 60)
      : service.id
    taken.add(name)
    found.push({ ...key, credential: name })
  }
  for (const { service, variable, field } of namedPlaces(services, open))
    if (open.has(variable)) take(service, variable, field)
  for (const [variable, { value }] of open) {
    const service = services.find(
      (one) => one.detector !== null && one.detector !== 'generic' && hasShape(value, variable, one.detector),
    )
    const field = service === undefined ? undefined : soleSecretField(service)
    if (service !== undefined && field !== undefined) take(service, variable, field)
  }
  return found
}

function mayBeKey(value: string): boolean {
  return (
    value.length >= MIN_KEY_CHARACTERS &&
    !/[\s\p{Cc}]/u.test(value) &&
    referenceIn(value) === null &&
    !looksLikePlaceholder(value)
  )
}

/** Places named by a service's variables; where two services share a variable, the one whose shape fits comes first. */
function namedPlaces(
  services: readonly ServiceView[],
  open: ReadonlyMap<string, FoundVariable>,
): { service: ServiceView; variable: string; field: string; fits: boolean }[] {
  return services
    .flatMap((service) =>
      Object.entries(service.variables.fields).flatMap(([field, names]) =>
        service.fields[field] === 'secret'
          ? names.map((variable) => {
              const value = open.get(variable)?.value
              return {
                service,
                variable,
                field,
                fits: value !== undefined && service.detector !== null && hasShape(value, variable, service.detector),
              }
            })
          : [],
      ),
    )
    .toSorted((a, b) => Number(b.fits) - Number(a.fits))
}

/** Every field of the service, beginning with the one that was found; null when one of them is nowhere. */
function collect(
  service: ServiceView,
  variable: string,
  field: string,
  all: ReadonlyMap<string, FoundVariable>,
  open: ReadonlyMap<string, FoundVariable>,
): Omit<FoundKey, 'credential'> | null {
  const first = open.get(variable)
  if (first === undefined) return null
  const fields: Record<string, string> = { [field]: first.value }
  const used = [{ name: variable, field }]
  for (const [other, kind] of Object.entries(service.fields)) {
    if (other === field) continue
    const names = service.variables.fields[other] ?? []
    const source = kind === 'secret' ? open : all
    const name = names.find((candidate) => (source.get(candidate)?.value ?? '') !== '')
    const value = name === undefined ? undefined : source.get(name)?.value
    if (name === undefined || value === undefined) return null
    fields[other] = value
    if (kind === 'secret') used.push({ name, field: other })
  }
  return { service: service.id, fields, variables: used, origin: first.origin, characters: first.value.length }
}

function soleSecretField(service: ServiceView): string | undefined {
  const fields = Object.entries(service.fields)
  const [only] = fields
  return fields.length === 1 && only?.[1] === 'secret' ? only[0] : undefined
}

function sameFields(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  return Object.entries(one).every(([field, value]) => other[field] === value)
}

function hasShape(value: string, variable: string, detectorId: string): boolean {
  const detector = detectors.find((one) => one.id === detectorId)
  return detector !== undefined && isKey(value, variable, detector)
}
