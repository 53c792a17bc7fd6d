import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { KeywardError } from '../../core/errors.ts'
import { isCertificate } from '../../services/definition.ts'
import type { Call, JsonOption } from '../io.ts'
import { firstOf } from '../io.ts'
import { printJson, printLine, printPairs, printTable } from '../print.ts'

export async function list({ io, options }: Call<JsonOption>): Promise<void> {
  const services = await io.client().call('GET /services', {}, {})
  if (options.json === true) return printJson(io, services)
  const rows = services.map((one) => [
    one.id,
    one.name,
    one.endpoint ?? one.hosts.join(' '),
    one.inject.join(', '),
    one.own ? 'yours' : one.checked === 'sdk' ? 'checked against the SDK' : 'documented only',
  ])
  printTable(io, ['id', 'name', 'hosts', 'placed in', 'status'], rows, 'There is no service.')
}

export async function show({ io, args, options }: Call<JsonOption>): Promise<void> {
  const service = await io.client().call('GET /services/:service', { service: firstOf(args) }, {})
  if (options.json === true) return printJson(io, service)
  const variables = Object.entries(service.variables.fields).map(([field, names]) => `${field}: ${names.join(', ')}`)
  printPairs(io, [
    ['id', service.id],
    ['name', service.name],
    ['hosts', service.hosts.join(', ')],
    ['endpoint', service.endpoint ?? '-'],
    [
      'fields',
      Object.entries(service.fields)
        .map(([field, kind]) => `${field} (${kind})`)
        .join(', '),
    ],
    ['placed in', service.inject.join(', ')],
    ['variables', variables.join('; ') || '-'],
    ['base URL', service.variables.baseUrl.join(', ') || '-'],
    ['operations', [...new Set(service.operations.map((one) => one.name))].join(', ') || '-'],
    ['speaks', service.speaks.map(({ path, language }) => `${language} at ${path}`).join(', ') || '-'],
    ['detector', service.detector ?? '-'],
    ['status', service.checked === 'sdk' ? 'checked against the SDK' : 'documented only'],
    ['source', service.source],
  ])
}

export async function add({ io, args, options }: Call<JsonOption>): Promise<void> {
  const path = resolve(io.workingDirectory, firstOf(args))
  const definition = readText(path)
  const trust = trustOf(definition, dirname(path))
  const service = await io
    .client()
    .call('POST /services', {}, { definition, ...(trust === undefined ? {} : { trust }) })
  if (options.json === true) return printJson(io, service)
  printLine(
    io,
    `Service ${service.id} is known; next: keyward credential add ${service.id} --service ${service.id} --stdin`,
  )
}

export async function remove({ io, args }: Call): Promise<void> {
  await io.client().call('DELETE /services/:service', { service: firstOf(args) }, {})
  printLine(io, `Service ${firstOf(args)} is gone.`)
}

/** The server reads no files of the caller's: what `trust` names is sent along. */
function trustOf(definition: string, folder: string): string | undefined {
  let parsed: unknown
  try {
    parsed = parse(definition)
  } catch {
    // The server says what is wrong with it.
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null || !('trust' in parsed) || typeof parsed.trust !== 'string')
    return undefined
  if (isCertificate(parsed.trust)) return undefined
  return readText(resolve(folder, parsed.trust))
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new KeywardError('file_invalid', 'It cannot be read.', { cause: error })
  }
}
