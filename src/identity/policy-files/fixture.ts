import { sampleService } from '../../vault/fixture.ts'
import type { vaultFolder } from '../../vault/fixture.ts'
import { createDirectory } from '../../services/directory.ts'
import { createCredentials } from '../../vault/credentials.ts'
import type { Records } from '../../vault/records.ts'
import type { Vault } from '../../vault/vault.ts'
import { createPolicyFiles } from './policy-files.ts'

/** Services that every home of these tests has. */
export const known = [
  { ...sampleService('store', { key: 'secret' }), operations: [{ name: 'things.list', match: 'GET /things' }] },
  sampleService('cloud', { account: 'public', key: 'secret' }),
]

/** Policy files over an open vault. */
export function policyOver(
  { records, vault }: { records: Records; vault: Vault },
  home: Pick<ReturnType<typeof vaultFolder>, 'now' | 'newId'>,
) {
  const directory = createDirectory({ builtIn: known, own: () => records.all('service') })
  const credentials = createCredentials({ records, vault, service: directory.get, now: home.now, newId: home.newId })
  const maker = { records, credentials, service: directory.get, builtIn: known, now: home.now, newId: home.newId }
  return { credentials, policyFiles: createPolicyFiles(maker) }
}
