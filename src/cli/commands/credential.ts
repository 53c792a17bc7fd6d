import { typeToConfirm } from '../confirm.ts'
import type { Call, EnvironmentOption, JsonOption, Io } from '../io.ts'
import { firstOf } from '../io.ts'
import { moment, printJson, printLine, printPairs, printTable } from '../print.ts'
import { readFields } from '../value-source.ts'
import type { SourceOptions } from '../value-source.ts'

interface AddOptions extends EnvironmentOption, JsonOption, SourceOptions {
  readonly service: string
  readonly owner?: string
  readonly sensitivity?: 'high' | 'medium' | 'low'
}

export async function add({ io, args, options }: Call<AddOptions>): Promise<void> {
  const name = firstOf(args)
  const service = await io.client().call('GET /services/:service', { service: options.service }, {})
  const fields = await readFields(io, options, service.fields)
  const made = await io.client().call(
    'POST /environments/:environment/credentials',
    { environment: options.env },
    {
      name,
      service: service.id,
      fields,
      ...(options.owner === undefined ? {} : { owner: options.owner }),
      ...(options.sensitivity === undefined ? {} : { sensitivity: options.sensitivity }),
    },
  )
  if (options.json === true) return printJson(io, made)
  printLine(io, `Credential ${name} is in ${options.env}; no agent may use it until it has a grant.`)
}

export async function list({ io, options }: Call<{ env?: string } & JsonOption>): Promise<void> {
  const filter = options.env === undefined ? {} : { environment: options.env }
  const credentials = await io.client().call('GET /credentials', {}, filter)
  if (options.json === true) return printJson(io, credentials)
  const rows = credentials.map((one) => [
    one.name,
    one.environment,
    one.service,
    one.state,
    one.version === null ? 'none' : `v${one.version}`,
    one.sensitivity,
    one.owner ?? '-',
  ])
  printTable(
    io,
    ['name', 'environment', 'service', 'state', 'version', 'sensitivity', 'owner'],
    rows,
    'There is no credential yet.',
  )
}

export async function show({ io, args, options }: Call<EnvironmentOption & JsonOption>): Promise<void> {
  const one = await io.client().call('GET /environments/:environment/credentials/:name', at(args, options), {})
  if (options.json === true) return printJson(io, one)
  printPairs(io, [
    ['name', one.name],
    ['environment', one.environment],
    ['service', one.service],
    ['state', one.state],
    ['version', one.version === null ? 'none' : `v${one.version}`],
    [
      'public fields',
      Object.entries(one.publicFields)
        .map(([field, value]) => `${field}=${value}`)
        .join(', ') || '-',
    ],
    ['sensitivity', one.sensitivity],
    ['owner', one.owner ?? '-'],
    ['since', moment(one.createdAt)],
  ])
}

export async function set({ io, args, options }: Call<EnvironmentOption & JsonOption & SourceOptions>): Promise<void> {
  const path = at(args, options)
  const credential = await io.client().call('GET /environments/:environment/credentials/:name', path, {})
  const service = await io.client().call('GET /services/:service', { service: credential.service }, {})
  const fields = await readFields(io, options, service.fields)
  const made = await io.client().call('PUT /environments/:environment/credentials/:name', path, { fields })
  if (options.json === true) return printJson(io, made)
  printLine(io, `Credential ${path.name} is at version ${made.version}.`)
}

export async function reveal({ io, args, options }: Call<EnvironmentOption & { field?: string }>): Promise<void> {
  const path = at(args, options)
  await typeToConfirm(io, `This shows a secret and is recorded. Type ${path.name} to go on`, path.name)
  const { value } = await io.client().call('POST /environments/:environment/credentials/:name/reveal', path, {
    confirmation: path.name,
    ...(options.field === undefined ? {} : { field: options.field }),
  })
  printLine(io, value)
}

export async function suspend({ io, args, options }: Call<EnvironmentOption>): Promise<void> {
  await io.client().call('POST /environments/:environment/credentials/:name/suspend', at(args, options), {})
  printLine(io, `Credential ${firstOf(args)} is suspended; no request uses it.`)
}

export async function resume({ io, args, options }: Call<EnvironmentOption>): Promise<void> {
  await io.client().call('POST /environments/:environment/credentials/:name/resume', at(args, options), {})
  printLine(io, `Credential ${firstOf(args)} may be used again.`)
}

export async function remove({
  io,
  args,
  options,
}: Call<EnvironmentOption & { cascade?: boolean; yes?: boolean }>): Promise<void> {
  const path = at(args, options)
  const cascade = options.cascade === true ? { cascade: true } : {}
  const shown = options.yes === true ? null : await confirmRemoval(io, path)
  // What was shown goes, and nothing that somebody made of it meanwhile.
  await io.client().call('DELETE /environments/:environment/credentials/:name', path, cascade, shown ?? undefined)
  printLine(io, `Credential ${path.name} is gone.`)
}

/** Asks the person; gives the tag of what they saw. */
async function confirmRemoval(io: Io, path: { environment: string; name: string }): Promise<string | null> {
  const { answer, tag } = await io.client().read('GET /environments/:environment/credentials/:name', path)
  const what = `${path.name} (${answer.service}, version ${answer.version ?? 'none'}, ${answer.state})`
  await typeToConfirm(io, `This destroys every version of ${what}. Type its name to go on`, path.name)
  return tag
}

function at(args: Call['args'], options: EnvironmentOption): { environment: string; name: string } {
  return { environment: options.env, name: firstOf(args) }
}
