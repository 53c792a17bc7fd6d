import { KeywardError } from '../core/errors.ts'
import { checkName } from '../core/name.ts'
import type { EnvironmentRecord } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'

export interface Environments {
  list(): readonly EnvironmentRecord[]
  find(name: string): EnvironmentRecord | undefined
  add(environment: { name: string; egress: 'open' | 'deny' }, actor: string): Promise<void>
  /** Bites at once: sessions of the environment lose or get back what it allows. */
  setEgress(name: string, egress: 'open' | 'deny', actor: string): Promise<void>
  /** Throws `still_in_use` while an agent or a credential belongs to it. */
  remove(name: string, actor: string): Promise<void>
}

/** The id of an environment's row is its name. */
export function createEnvironments({ records, now }: { records: Records; now: () => number }): Environments {
  function need(name: string): EnvironmentRecord {
    const record = records.get('environment', name)
    if (record === undefined)
      throw new KeywardError('not_found', `The environment ${JSON.stringify(name)} does not exist.`)
    return record
  }

  return {
    list: () => [...records.all('environment').values()].toSorted((left, right) => (left.name < right.name ? -1 : 1)),

    find: (name) => records.get('environment', name),

    async add(environment, actor) {
      const name = checkName('an environment', environment.name)
      const body: EnvironmentRecord = { name, egress: environment.egress, createdAt: now() }
      const changes = (): Change[] => {
        if (records.get('environment', name) === undefined) return [{ table: 'environment', id: name, body }]
        throw new KeywardError('already_exists', `The environment ${name} exists already.`)
      }
      const detail = { environment: name, egress: environment.egress }
      await records.commit(changes, { actor, action: 'environment.add', detail })
    },

    async setEgress(name, egress, actor) {
      const changes = (): Change[] => [{ table: 'environment', id: name, body: { ...need(name), egress } }]
      await records.commit(changes, { actor, action: 'environment.set', detail: { environment: name, egress } })
    },

    async remove(name, actor) {
      const changes = (): Change[] => {
        need(name)
        refuseInUse(records, name)
        return [{ table: 'environment', id: name, body: null }]
      }
      await records.commit(changes, { actor, action: 'environment.remove', detail: { environment: name } })
    },
  }
}

function refuseInUse(records: Records, name: string): void {
  const stillInUse = (what: string): KeywardError =>
    new KeywardError('still_in_use', `The environment ${name} still has ${what}.`)
  for (const agent of records.all('agent').values()) {
    if (agent.environment === name) throw stillInUse(`the agent ${agent.name}`)
  }
  for (const credential of records.all('credential').values()) {
    if (credential.environment === name) throw stillInUse(`the credential ${credential.name}`)
  }
}
