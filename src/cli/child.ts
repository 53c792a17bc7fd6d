import type { IssuedView } from '../api/answers.ts'
import { KeywardError } from '../core/errors.ts'
import type { Io } from './io.ts'
import { resolveReferences } from './reference.ts'
import type { Reference } from './reference.ts'

export interface HeldVariables {
  /** Variable to placeholder, or to the value of a public field. */
  readonly placeholders: Record<string, string>
  /** Variable to base URL. */
  readonly baseUrls: Record<string, string>
}

/** Under which names a session's holder finds what it was given. Where two credentials want one variable, the older has it. */
export function heldVariables(session: Pick<IssuedView, 'credentials'>): HeldVariables {
  const placeholders: Record<string, string> = {}
  const baseUrls: Record<string, string> = {}
  for (const credential of session.credentials) {
    for (const { text, variables } of credential.fields) for (const name of variables) placeholders[name] ??= text
    for (const name of credential.baseUrl.variables) baseUrls[name] ??= credential.baseUrl.url
  }
  return { placeholders, baseUrls }
}

/** The text that stands for a field of a service's credential; that of the oldest where there are several. */
export function placeholderOf(
  session: Pick<IssuedView, 'credentials'>,
  service: string,
  field: string,
): string | undefined {
  const credential = session.credentials.find((one) => one.service === service)
  return credential?.fields.find((one) => one.field === field)?.text
}

/** What the references that `import` left in these variables stand for in this session. */
export function resolvedReferences(
  session: Pick<IssuedView, 'credentials'>,
  variables: Iterable<readonly [string, string]>,
): ReturnType<typeof resolveReferences> {
  return resolveReferences(variables, (reference) => textOf(session, reference))
}

function textOf(session: Pick<IssuedView, 'credentials'>, reference: Reference): string | undefined {
  const credential = session.credentials.find((one) => one.name === reference.credential)
  const secret = credential?.fields.filter((one) => one.kind === 'secret') ?? []
  if (reference.field !== null) return secret.find((one) => one.field === reference.field)?.text
  return secret.length === 1 ? secret[0]?.text : undefined
}

/** Which of these texts hold a secret of the vault, asked once for all of them. */
export async function secretFinder(io: Io, texts: readonly string[]): Promise<(text: string) => boolean> {
  // What lies around here is no business of a server elsewhere, and a machine may not ask it: what the allow-list passes is passed.
  if (io.server !== null) return () => false
  const unique = [...new Set(texts)].filter((text) => text !== '')
  const { found } = await io.client().call('POST /occurrences', {}, { texts: unique })
  const holding = new Set(unique.filter((_, index) => found[index] === true))
  return (text) => holding.has(text)
}

/** `http://session:TOKEN@HOST:PORT`: how a program that honours a proxy logs in. */
export function proxyUrlOf(session: Pick<IssuedView, 'token' | 'gateway'>): string {
  return `http://session:${session.token}@${session.gateway.address}`
}

/** An agent's name made from that of its program. */
export function agentNameOf(command: string): string {
  const base = command.split('/').at(-1) ?? ''
  const name = base
    .toLowerCase()
    .replace(/\.(?:exe|cmd|m?js|cjs|ts|py|sh)$/, '')
    .replace(/[^a-z0-9_-]+/g, '-')
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
    .slice(0, 63)
  if (name === '')
    throw new KeywardError('usage', 'Name the agent with --agent; the program has no name that could serve.')
  return name
}
