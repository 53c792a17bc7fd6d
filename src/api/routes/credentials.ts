import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import { checkProof } from '../access.ts'
import type { ControlParts, Handlers } from '../parts.ts'
import type { CredentialView } from '../answers.ts'

/** The credential of that name, or `not_found` naming what was looked for. */
export function credentialOf(parts: ControlParts, environment: string, name: string): { id: string; service: string } {
  const found = parts.credentials.find(environment, name)
  if (found === undefined) throw new KeywardError('not_found', `Environment ${environment} has no credential ${name}.`)
  return { id: found.id, service: found.record.service }
}

function views(parts: ControlParts, environment: string | undefined): CredentialView[] {
  return parts.credentials
    .list(environment)
    .map(({ id, record, version, publicFields }) => ({
      id,
      name: record.name,
      environment: record.environment,
      service: record.service,
      owner: record.owner,
      sensitivity: record.sensitivity,
      state: record.state,
      version,
      publicFields,
      createdAt: record.createdAt,
    }))
    .toSorted((a, b) => a.environment.localeCompare(b.environment) || a.name.localeCompare(b.name))
}

export function secretsOf(fields: Readonly<Record<string, string>>): Record<string, Secret> {
  return Object.fromEntries(Object.entries(fields).map(([field, text]) => [field, Secret.fromText(field, text)]))
}

export const credentialRoutes: Handlers<
  | 'GET /credentials'
  | 'GET /environments/:environment/credentials/:name'
  | 'POST /environments/:environment/credentials'
  | 'PUT /environments/:environment/credentials/:name'
  | 'POST /environments/:environment/credentials/:name/reveal'
  | 'POST /environments/:environment/credentials/:name/suspend'
  | 'POST /environments/:environment/credentials/:name/resume'
  | 'DELETE /environments/:environment/credentials/:name'
  | 'POST /occurrences'
> = {
  'GET /credentials': (parts, { input }) => views(parts, input.environment),

  'GET /environments/:environment/credentials/:name': (parts, { path }) => {
    const { id } = credentialOf(parts, path.environment, path.name)
    const view = views(parts, path.environment).find((one) => one.id === id)
    if (view === undefined) throw new KeywardError('not_found')
    return view
  },

  'POST /environments/:environment/credentials': (parts, { path, input, actor }) =>
    parts.credentials.add(
      {
        name: input.name,
        environment: path.environment,
        service: input.service,
        fields: secretsOf(input.fields),
        owner: input.owner ?? null,
        sensitivity: input.sensitivity ?? 'high',
      },
      actor,
    ),

  'PUT /environments/:environment/credentials/:name': (parts, { path, input, actor }) =>
    parts.credentials.set(credentialOf(parts, path.environment, path.name).id, secretsOf(input.fields), actor),

  'POST /environments/:environment/credentials/:name/reveal': async (parts, { path, input, caller, actor }) => {
    checkProof(caller, parts.now())
    const { id, service } = credentialOf(parts, path.environment, path.name)
    if (input.confirmation !== path.name) {
      throw new KeywardError('confirmation_required', `The confirmation must be the credential's name, ${path.name}.`)
    }
    const field = input.field ?? soleSecretField(parts, service)
    const secret = await parts.credentials.reveal(id, field, actor)
    return { field, value: secret.revealText() }
  },

  'POST /environments/:environment/credentials/:name/suspend': async (parts, { path, actor }) => {
    await parts.credentials.suspend(credentialOf(parts, path.environment, path.name).id, actor)
    return { done: true }
  },

  'POST /environments/:environment/credentials/:name/resume': async (parts, { path, actor }) => {
    await parts.credentials.resume(credentialOf(parts, path.environment, path.name).id, actor)
    return { done: true }
  },

  'DELETE /environments/:environment/credentials/:name': async (parts, { path, input, actor }) => {
    const { id } = credentialOf(parts, path.environment, path.name)
    await parts.credentials.remove(id, actor, { cascade: input.cascade ?? false })
    return { done: true }
  },

  'POST /occurrences': (parts, { input }) => {
    const here = parts.credentials
      .list()
      .filter(({ record }) => record.environment === input.environment)
      .flatMap(({ id, record }) => secretsIn(parts, id).map((secret) => ({ record, text: secret.revealText() })))
    return {
      found: input.texts.map((text) => parts.holdsSecret(text)),
      holders: input.texts.map((text) => here.find((one) => one.text === text)?.record.name ?? null),
    }
  },
}

/** A credential that cannot be opened now has no secret to compare with. */
function secretsIn(parts: ControlParts, id: string): Secret[] {
  try {
    return Object.values(parts.credentials.current(id).fields).filter((value) => value instanceof Secret)
  } catch (error) {
    if (error instanceof KeywardError) return []
    throw error
  }
}

function soleSecretField(parts: ControlParts, serviceId: string): string {
  const fields = Object.entries(parts.services.get(serviceId)?.fields ?? {})
  const secret = fields.filter(([, kind]) => kind === 'secret').map(([field]) => field)
  const [only] = secret
  if (only === undefined || secret.length > 1) {
    throw new KeywardError('usage', `Name one of the fields: ${secret.join(', ')}.`)
  }
  return only
}
