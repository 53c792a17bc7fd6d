import { errors } from '../../core/errors.ts'
import { countsOf, thingOf } from '../../identity/policy-files/policy-files.ts'
import type { PlannedPolicy } from '../../identity/policy-files/policy-files.ts'
import type { Handlers } from '../parts.ts'
import type { PlanView } from '../answers.ts'
import { secretsOf } from './credentials.ts'

function planView(plan: PlannedPolicy): PlanView {
  return {
    digest: plan.digest,
    steps: plan.steps.flatMap((step) => {
      const { kind, key } = thingOf(step)
      if (step.action === 'keep') return []
      const place = step.wanted?.place ?? null
      return [{ action: step.action, kind, name: key, differences: step.differences, place }]
    }),
    unchanged: countsOf(plan).keep,
    pending: plan.pending,
    problems: plan.problems.map((problem) => ({
      ...problem,
      title: errors[problem.code].title,
      next: errors[problem.code].next,
    })),
  }
}

export const policyRoutes: Handlers<'GET /policy' | 'POST /policy/plan' | 'POST /policy'> = {
  'GET /policy': async (parts) => ({ text: await parts.policyFiles.export() }),

  'POST /policy/plan': async (parts, { input }) => planView(await parts.policyFiles.plan(input)),

  'POST /policy': async (parts, { input, actor }) => {
    const values = Object.fromEntries(
      Object.entries(input.values).map(([credential, fields]) => [credential, secretsOf(fields)]),
    )
    return planView(await parts.policyFiles.apply({ ...input, values }, actor))
  },
}
