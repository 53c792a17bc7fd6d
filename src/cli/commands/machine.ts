import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import { KeywardError } from '../../core/errors.ts'
import type { Call, EnvironmentOption, Io, JsonOption } from '../io.ts'
import { firstOf } from '../io.ts'
import { parseDuration } from '../measures.ts'
import { moment, printJson, printLine, printPairs, printTable } from '../print.ts'

interface TrustOptions extends EnvironmentOption, JsonOption {
  readonly issuer?: string
  readonly audience?: string
  readonly claim?: readonly string[]
  readonly jwks?: string
  readonly keysFile?: string
  readonly oneUse?: boolean
  readonly privateNetwork?: boolean
  readonly caFile?: string
  readonly spiffe?: string
}

/** Prints a secret by which the agent logs in once. */
export async function enrol({
  io,
  args,
  options,
}: Call<EnvironmentOption & JsonOption & { readonly ttl: string }>): Promise<void> {
  const made = await io
    .client()
    .call(
      'POST /environments/:environment/agents/:name/enrolments',
      { environment: options.env, name: firstOf(args) },
      { ttlSeconds: parseDuration(options.ttl) },
    )
  if (options.json === true) return printJson(io, made)
  printPairs(io, [
    ['secret', made.secret],
    ['enrolment', made.id],
    ['good', `once, until ${moment(made.expiresAt)}`],
  ])
}

export async function trust({ io, args, options }: Call<TrustOptions>): Promise<void> {
  const made = await io
    .client()
    .call(
      'POST /environments/:environment/agents/:name/trusts',
      { environment: options.env, name: firstOf(args) },
      wantedOf(io, options),
    )
  if (options.json === true) return printJson(io, made)
  printLine(io, `Agent ${firstOf(args)} in ${options.env} may log in by trust ${made.id}.`)
}

function wantedOf(io: Io, options: TrustOptions) {
  const { issuer, audience, claim, jwks, keysFile, oneUse, privateNetwork, caFile, spiffe } = options
  if (spiffe !== undefined) {
    if (issuer !== undefined) throw new KeywardError('usage', 'Give --spiffe or --issuer.')
    return { spiffe }
  }
  if (issuer === undefined || audience === undefined || claim === undefined)
    throw new KeywardError('usage', 'Give --issuer, --audience and --claim, or --spiffe.')
  return {
    issuer,
    audience,
    claims: claimsOf(claim),
    ...(jwks === undefined ? {} : { jwksUrl: jwks }),
    ...(keysFile === undefined ? {} : { keys: keysIn(resolve(io.workingDirectory, keysFile)) }),
    ...(oneUse === true ? { oneUse } : {}),
    ...(privateNetwork === true ? { privateNetwork } : {}),
    ...(caFile === undefined ? {} : { authority: textOf(resolve(io.workingDirectory, caFile)) }),
  }
}

function claimsOf(texts: readonly string[]): Record<string, string> {
  const claims = new Map<string, string>()
  for (const text of texts) {
    const equals = text.indexOf('=')
    const path = text.slice(0, equals)
    if (equals < 1 || claims.has(path)) throw new KeywardError('usage', '--claim takes PATH=VALUE, each path once.')
    claims.set(path, text.slice(equals + 1))
  }
  return Object.fromEntries(claims)
}

const keySet = z.object({ keys: z.array(z.record(z.string(), z.unknown())) })

function keysIn(path: string): Record<string, unknown>[] {
  try {
    return keySet.parse(JSON.parse(textOf(path))).keys
  } catch (error) {
    if (error instanceof KeywardError) throw error
    throw new KeywardError('file_invalid', `${path} is not a set of public keys (JWKS).`)
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new KeywardError('file_invalid', `${path} cannot be read.`, { cause: error })
  }
}

export async function logins({ io, args, options }: Call<EnvironmentOption & JsonOption>): Promise<void> {
  const path = { environment: options.env, name: firstOf(args) }
  const found = await io.client().call('GET /environments/:environment/agents/:name/logins', path, {})
  if (options.json === true) return printJson(io, found)
  const trusts = found.trusts.map((one) =>
    one.kind === 'certificate'
      ? [one.id, 'certificate', one.spiffe, '-', moment(one.createdAt)]
      : [
          one.id,
          one.oneUse ? 'token, once' : 'token',
          Object.entries(one.claims)
            .map(([claim, value]) => `${claim}=${value}`)
            .join(' '),
          `${one.issuer} for ${one.audience}`,
          moment(one.createdAt),
        ],
  )
  const enrolments = found.enrolments.map((one) => [
    one.id,
    'enrolment',
    one.usedAt === null ? `good until ${moment(one.expiresAt)}` : `used ${moment(one.usedAt)}`,
    '-',
    moment(one.createdAt),
  ])
  printTable(
    io,
    ['id', 'how', 'who', 'by the word of', 'since'],
    [...trusts, ...enrolments],
    'This agent cannot log in by itself.',
  )
}

export async function distrust({ io, args }: Call): Promise<void> {
  await io.client().call('DELETE /trusts/:id', { id: firstOf(args) }, {})
  printLine(io, `Trust ${firstOf(args)} is taken back, and the sessions that came of it are over.`)
}

export async function withdraw({ io, args }: Call): Promise<void> {
  await io.client().call('DELETE /enrolments/:id', { id: firstOf(args) }, {})
  printLine(io, `Enrolment ${firstOf(args)} is taken back.`)
}
