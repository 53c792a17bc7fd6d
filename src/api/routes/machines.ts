import { KeywardError } from '../../core/errors.ts'
import type { EnrolmentRecord, TrustRecord } from '../../core/records.ts'
import type { MachineProof } from '../../identity/machine-logins.ts'
import { defaultTtlSeconds } from '../../identity/session-state.ts'
import type { WantedTrust } from '../../identity/trusts.ts'
import type { TrustView } from '../answers.ts'
import type { Peer } from '../caller.ts'
import type { ControlParts, Handlers } from '../parts.ts'
import type { InputRead } from '../schema.ts'
import { agentOf } from './agents.ts'
import { issuedView } from './sessions.ts'

const defaultEnrolmentSeconds = 60 * 60

type Shown = Pick<InputRead<'POST /machine/logins'>, 'enrolment' | 'jwt' | 'certificate'>

/** The one proof that was sent. */
function proofOf({ enrolment, jwt, certificate }: Shown, peer: Peer): MachineProof {
  const proofs: MachineProof[] = [
    ...(enrolment === undefined ? [] : [{ kind: 'enrolment', secret: enrolment } as const]),
    ...(jwt === undefined ? [] : [{ kind: 'jwt', token: jwt } as const]),
    ...(certificate === undefined ? [] : [{ kind: 'certificate', certificate: peer.certificate } as const]),
  ]
  const [proof, ...others] = proofs
  if (proof === undefined || others.length > 0)
    throw new KeywardError('usage', 'Send one proof: enrolment, jwt or certificate.')
  return proof
}

/** Lets `work` try, unless this address failed too often; a failure is counted and written down. */
async function attempted<T>(parts: ControlParts, peer: Peer, how: string, work: () => Promise<T>): Promise<T> {
  parts.machineAttempts.check(peer.address)
  try {
    return await work()
  } catch (error) {
    if (error instanceof KeywardError && error.code !== 'usage') {
      parts.machineAttempts.fail(peer.address)
      const address = peer.address === null ? {} : { address: peer.address }
      parts.journal.note({
        kind: 'refusal',
        code: error.code,
        door: 'control',
        decision: 'deny',
        login: how,
        ...address,
      })
    }
    throw error
  }
}

function enrolmentView(id: string, { usedAt, createdAt, expiresAt }: EnrolmentRecord) {
  return { id, usedAt, createdAt, expiresAt }
}

function trustView(id: string, record: TrustRecord): TrustView {
  const { createdAt } = record
  if (record.kind === 'certificate') return { id, kind: 'certificate', spiffe: record.spiffe, createdAt }
  const { kind, issuer, audience, claims, oneUse, privateNetwork, keys } = record
  return { id, kind, issuer, audience, claims, oneUse, privateNetwork, keys: keysView(keys), createdAt }
}

function keysView(keys: Extract<TrustRecord, { kind: 'jwt' }>['keys']): string {
  if (keys.kind === 'url') return keys.url
  return keys.kind === 'discovery' ? 'discovery' : `${keys.keys.length} from a file`
}

function wantedTrust(input: InputRead<'POST /environments/:environment/agents/:name/trusts'>): WantedTrust {
  if ('spiffe' in input) return { kind: 'certificate', spiffe: input.spiffe }
  const { issuer, audience, claims, jwksUrl, keys, oneUse, privateNetwork, authority } = input
  if (jwksUrl !== undefined && keys !== undefined)
    throw new KeywardError('usage', 'The keys of the issuer are at an address or in a file, not both.')
  return {
    kind: 'jwt',
    issuer,
    audience,
    claims,
    keys:
      keys !== undefined
        ? { kind: 'fixed', keys }
        : jwksUrl === undefined
          ? { kind: 'discovery' }
          : { kind: 'url', url: jwksUrl },
    oneUse: oneUse ?? false,
    privateNetwork: privateNetwork ?? false,
    authority: authority ?? null,
  }
}

export const machineRoutes: Handlers<
  | 'POST /machine/logins'
  | 'POST /machine/renewals'
  | 'POST /machine/logouts'
  | 'GET /environments/:environment/agents/:name/logins'
  | 'POST /environments/:environment/agents/:name/enrolments'
  | 'POST /environments/:environment/agents/:name/trusts'
  | 'DELETE /enrolments/:id'
  | 'DELETE /trusts/:id'
> = {
  'POST /machine/logins': (parts, { input, peer }) => {
    const proof = proofOf(input, peer)
    const ttlSeconds = input.ttlSeconds ?? defaultTtlSeconds
    return attempted(parts, peer, proof.kind, async () => {
      const wish = { ttlSeconds, egress: input.egress ?? null, agent: input.agent ?? null, dpop: input.dpop ?? null }
      const { issued, agent } = await parts.machineLogins.login(proof, wish)
      const egress = parts.records.get('session', issued.id)?.egress ?? 'deny'
      return issuedView(parts, issued, { agent: agent.name, environment: agent.environment, egress, ttlSeconds })
    })
  },

  'POST /machine/renewals': (parts, { input, peer }) => {
    const proof = proofOf(input, peer)
    const ttlSeconds = input.ttlSeconds ?? defaultTtlSeconds
    return attempted(parts, peer, proof.kind, async () => ({
      ...(await parts.machineLogins.renew(input.token, proof, { ttlSeconds, dpop: input.dpop ?? null })),
      ttlSeconds,
    }))
  },

  'POST /machine/logouts': (parts, { input, peer }) =>
    attempted(parts, peer, 'token', async () => {
      await parts.machineLogins.logOut(input.token, input.dpop ?? null)
      return { done: true as const }
    }),

  'GET /environments/:environment/agents/:name/logins': (parts, { path }) => {
    const { id } = agentOf(parts, path.environment, path.name)
    return {
      enrolments: parts.machineLogins.enrolments(id).map((one) => enrolmentView(one.id, one.record)),
      trusts: parts.trusts.list(id).map((one) => trustView(one.id, one.record)),
    }
  },

  'POST /environments/:environment/agents/:name/enrolments': (parts, { path, input, actor }) => {
    const { id } = agentOf(parts, path.environment, path.name)
    return parts.machineLogins.enrol(id, input.ttlSeconds ?? defaultEnrolmentSeconds, actor)
  },

  'POST /environments/:environment/agents/:name/trusts': (parts, { path, input, actor }) =>
    parts.trusts.add(agentOf(parts, path.environment, path.name).id, wantedTrust(input), actor),

  'DELETE /enrolments/:id': async (parts, { path, actor }) => {
    await parts.machineLogins.withdraw(path.id, actor)
    return { done: true }
  },

  'DELETE /trusts/:id': async (parts, { path, actor }) => {
    await parts.trusts.remove(path.id, actor)
    return { done: true }
  },
}
