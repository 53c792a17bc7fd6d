import { expect, test } from 'vitest'
import { decideCalls } from '../core/call-decision.ts'
import { callSealedBy, compileGrant, type Decision } from '../core/policy.ts'
import { services } from './index.ts'
import type { Service } from './service.ts'

const speaking = services.filter(({ speaks }) => speaks !== undefined)

const calls = (call: string, touched: readonly string[] = []) => ({
  made: new Map([[call, 1]]),
  touched: new Set(touched.map((field) => `GRAPHQL field ${field}`)),
})

function decided(service: Service, rules: { allow: string[]; deny?: string[] }, call: string): Decision {
  const grant = compileGrant('g', { deny: [], limits: {}, expiresAt: null, ...rules }, service.operations)
  const target = service.speaks?.[0]?.path ?? ''
  return decideCalls({ method: 'POST', target, operation: 'graphql', grants: [grant], now: 0 }, calls(call))
}

test.each(speaking.map((service) => [service.id, service] as const))(
  '%s: a grant of its path allows no mutation, what denied it still does, and an unknown mutation is destructive',
  (_, service) => {
    const path = service.speaks?.[0]?.path ?? ''
    for (const allow of [[`POST ${path}`], ['POST /**'], ['graphql']])
      for (const call of ['GRAPHQL mutation anything', 'GRAPHQL query anything'])
        expect(decided(service, { allow }, call).allow).toBe(false)
    for (const deny of [[`POST ${path}`], ['graphql']])
      expect(decided(service, { allow: ['*'], deny }, 'GRAPHQL query anything').allow).toBe(false)
    expect(decided(service, { allow: ['*'] }, 'GRAPHQL mutation anything')).toMatchObject({
      allow: true,
      destructive: true,
    })
    expect(decided(service, { allow: ['GRAPHQL query *'] }, 'GRAPHQL query anything')).toMatchObject({
      destructive: false,
    })
  },
)

test.each([
  ['github', 'pulls.merge', 'mergePullRequest', true],
  ['github', 'pulls.*', 'enqueuePullRequest', true],
  ['github', 'refs.delete', 'deleteRef', true],
  ['github', 'issues.create', 'createIssue', false],
  ['gitlab', 'mergeRequests.merge', 'mergeRequestAccept', true],
  ['gitlab', 'issues.comment', 'createNote', false],
])('%s: %s means %s too', (id, name, mutation, destructive) => {
  const service = speaking.find((one) => one.id === id)
  if (service === undefined) throw new Error(`${id} speaks nothing`)
  const call = `GRAPHQL mutation ${mutation}`
  expect(decided(service, { allow: [name] }, call)).toMatchObject({ allow: true, destructive })
  expect(decided(service, { allow: ['*'], deny: [name] }, call)).toMatchObject({ code: 'operation_denied', rule: name })
})

test.each([
  ['github', 'GRAPHQL query repository', 'tempCloneToken'],
  ['gitlab', 'GRAPHQL query project', 'ciVariables'],
  ['gitlab', 'GRAPHQL mutation clusterAgentTokenCreate', 'errors'],
  ['gitlab', 'GRAPHQL mutation httpIntegrationResetToken', 'errors'],
])('%s: %s with %s hands out a credential, and is sealed', (id, call, field) => {
  const sealed = speaking.find((one) => one.id === id)?.sealed ?? []
  expect(callSealedBy(sealed, calls(call, [field]))).not.toBeNull()
  expect(callSealedBy(sealed, calls('GRAPHQL query viewer', ['login']))).toBeNull()
})
