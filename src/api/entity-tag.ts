import { KeywardError } from '../core/errors.ts'
import type { RouteName } from './answers.ts'
import type { Asked, ControlParts } from './parts.ts'

type Path = Asked<RouteName>['path']
type Parts = Pick<ControlParts, 'records' | 'credentials' | 'agents'>
/** The epochs in which the rows were last written of which the record consists; none where there is no such record. */
type Writings = (path: Path, parts: Parts) => readonly (number | undefined)[]

const credential: Writings = ({ environment, name }, { records, credentials }) => {
  const found = credentials.find(environment, name)
  if (found === undefined) return []
  const versions = [...records.all('version')].filter(([, version]) => version.credentialId === found.id)
  return [records.writtenAt('credential', found.id), ...versions.map(([id]) => records.writtenAt('version', id))]
}
const agent: Writings = ({ environment, name }, { records, agents }) => {
  const found = agents.find(environment, name)
  return found === undefined ? [] : [records.writtenAt('agent', found.id)]
}
const grant: Writings = ({ id }, { records }) => [records.writtenAt('grant', id)]
const session: Writings = ({ id }, { records }) => [records.writtenAt('session', id)]
const service: Writings = ({ service: id }, { records }) => [records.writtenAt('service', id)]

/** The routes that are about one record, and what of it counts. */
const tagged: { readonly [R in RouteName]?: Writings } = {
  'GET /services/:service': service,
  'DELETE /services/:service': service,
  'GET /environments/:environment/credentials/:name': credential,
  'PUT /environments/:environment/credentials/:name': credential,
  'POST /environments/:environment/credentials/:name/suspend': credential,
  'POST /environments/:environment/credentials/:name/resume': credential,
  'DELETE /environments/:environment/credentials/:name': credential,
  'GET /environments/:environment/agents/:name': agent,
  'POST /environments/:environment/agents/:name/suspend': agent,
  'POST /environments/:environment/agents/:name/resume': agent,
  'DELETE /environments/:environment/agents/:name': agent,
  'GET /grants/:id': grant,
  'DELETE /grants/:id': grant,
  'POST /sessions/:id/extend': session,
  'POST /sessions/:id/suspend': session,
  'POST /sessions/:id/resume': session,
  'DELETE /sessions/:id': session,
}

export function hasTag(route: RouteName): boolean {
  return tagged[route] !== undefined
}

/** The strong entity tag (RFC 9110, section 8.8.3) of the record that a route is about: it changes with every writing. Null where there is none. */
export function tagOf(route: RouteName, path: Path, parts: Parts): string | null {
  const written = (tagged[route]?.(path, parts) ?? []).filter((epoch) => epoch !== undefined)
  return written.length === 0 ? null : `"${Math.max(...written)}"`
}

const TAGS = /^(?:W\/)?"[\x21\x23-\x7e]*"(?:[ \t]*,[ \t]*(?:W\/)?"[\x21\x23-\x7e]*")*$/

/**
 * A condition on the record of a route, from If-Match (RFC 9110, section 13.1.1): throws `precondition_failed` where
 * the record is not the one that was meant. Throws `usage` for a malformed header, and on a route without such a record.
 */
export function conditionOf(header: string, route: RouteName, path: Path, parts: Parts): () => void {
  if (!hasTag(route)) throw new KeywardError('usage', 'If-Match: not here, where nothing has an ETag.')
  if (header !== '*' && !TAGS.test(header)) throw new KeywardError('usage', 'If-Match: must be * or quoted tags.')
  // A weak tag never matches.
  const wanted = header === '*' ? null : header.split(',').map((tag) => tag.trim())
  return () => {
    const tag = tagOf(route, path, parts)
    if (tag === null || wanted?.includes(tag) === false) throw new KeywardError('precondition_failed')
  }
}
