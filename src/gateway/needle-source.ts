import { KeywardError } from '../core/errors.ts'
import { needlesOf, type KnownSecret, type NeedleSet } from '../core/needles.ts'
import { derivedTexts } from '../injectors/placement.ts'
import type { ServiceDirectory } from '../services/directory.ts'
import type { Credentials, OpenVersion } from '../vault/credentials.ts'
import type { Records } from '../vault/records.ts'

/** What answers are searched for: every secret of the vault, whoever asks (docs/decisions/0005). */
export interface NeedleSource {
  /** For an answer to a request with this credential: its secret is replaced by the placeholder that the agent sent, any other by its name. */
  of(credentialId: string, presented: string | null): NeedleSet
}

/** Placeholders for which a set with their replacement is kept. */
const RESTATED_MAXIMUM = 4_096

/** Built when first asked and again after a change of credentials. */
export function createNeedleSource(parts: {
  readonly credentials: Credentials
  readonly services: ServiceDirectory
  readonly records: Records
}): NeedleSource {
  let whole: NeedleSet | null = null
  /** By credential and placeholder, which together would be a new text for every request. */
  const restated = new Map<string, Map<string, NeedleSet>>()
  let restatedCount = 0
  parts.records.onCommit((changes) => {
    if (!changes.some(({ table }) => table === 'credential' || table === 'version' || table === 'service')) return
    whole = null
    forgetRestated()
  })

  function build(): NeedleSet {
    const known: KnownSecret[] = []
    const derived: { text: string; replacement: string }[] = []
    for (const { id, record } of parts.credentials.list()) {
      for (const version of parts.credentials.onRecord(id)) {
        for (const value of Object.values(version.fields)) {
          if (typeof value === 'string') continue
          known.push({
            name: id,
            value: value.reveal((bytes) => Uint8Array.from(bytes)),
            replacement: `[keyward:${record.name}]`,
          })
        }
        for (const text of composites(record.service, version))
          derived.push({ text, replacement: `[keyward:${record.name}]` })
      }
    }
    return needlesOf(known, derived)
  }

  function composites(serviceId: string, version: OpenVersion): readonly string[] {
    const values: Record<string, string> = {}
    for (const [name, value] of Object.entries(version.fields))
      values[name] = typeof value === 'string' ? value : value.revealText()
    return (parts.services.get(serviceId)?.inject ?? []).flatMap((rule) => {
      try {
        return derivedTexts(rule, values)
      } catch (error) {
        // A field that this rule needs and the credential lacks: the request that uses the rule is refused by itself.
        if (error instanceof KeywardError) return []
        throw error
      }
    })
  }

  function forgetRestated(): void {
    restated.clear()
    restatedCount = 0
  }

  return {
    of(credentialId, presented) {
      whole ??= build()
      if (presented === null) return whole
      const known = restated.get(credentialId)?.get(presented)
      if (known !== undefined) return known
      const set = whole.restated(credentialId, presented)
      if (restatedCount >= RESTATED_MAXIMUM) forgetRestated()
      const ofCredential = restated.get(credentialId) ?? new Map<string, NeedleSet>()
      ofCredential.set(presented, set)
      restated.set(credentialId, ofCredential)
      restatedCount += 1
      return set
    },
  }
}
