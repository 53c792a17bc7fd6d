import { readEnvFile } from '../../adopt.ts'
import type { Io } from '../../io.ts'
import { recogniseKeys } from '../../recognise.ts'
import type { FoundVariable } from '../../recognise.ts'
import { closed, notClosed } from '../finding.ts'
import type { Finding } from '../finding.ts'

const TEXT_MAXIMUM_CHARACTERS = 1024 * 1024
const TEXTS_MAXIMUM = 2048

/** Variables of the shell and of ./.env that still hold a key: by a service's name or shape, or because the vault knows the value. Names only. */
export async function checkVariables(io: Io): Promise<Finding[]> {
  const shell = new Map(
    Object.entries(io.environment).flatMap(([name, value]): [string, string][] =>
      value === undefined || value === '' || name.startsWith('KEYWARD_') ? [] : [[name, value]],
    ),
  )
  return Promise.all([
    check(
      io,
      'shell-variables',
      'your shell’s variables',
      shell,
      '`keyward import --shell`, then a new shell; or `unset` them.',
    ),
    check(io, 'env-file', './.env', readEnvFile(io), '`keyward import .env`.'),
  ])
}

async function check(
  io: Io,
  id: string,
  place: string,
  variables: ReadonlyMap<string, string>,
  remedy: string,
): Promise<Finding> {
  const client = io.client()
  const entries = [...variables].filter(([, value]) => value.length <= TEXT_MAXIMUM_CHARACTERS).slice(0, TEXTS_MAXIMUM)
  const found = new Map<string, FoundVariable>(entries.map(([name, value]) => [name, { value, origin: place }]))
  const [services, { found: known }] = await Promise.all([
    client.call('GET /services', {}, {}),
    client.call('POST /occurrences', {}, { texts: entries.map(([, value]) => value) }),
  ])
  const names = new Set([
    ...recogniseKeys(found, services).flatMap((key) => key.variables.map((one) => one.name)),
    ...entries.filter((_, index) => known[index] === true).map(([name]) => name),
  ])
  if (names.size === 0) return closed(id, 'variables', `${place}: no key found`)
  return notClosed(
    'open',
    id,
    'variables',
    `${place}: real keys are within reach of whatever you start without Keyward`,
    remedy,
    [...names].toSorted().join(', '),
  )
}
