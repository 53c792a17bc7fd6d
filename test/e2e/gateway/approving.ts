import { eventually, type Stage } from './harness.ts'
import type { Answer } from './wire.ts'
import type { AskedApproval } from '../../../src/gateway/approval/approvals.ts'

/** The approvals of one agent, oldest first. */
export function approvalsOf(stage: Stage, { agent }: { readonly agent: string }): readonly AskedApproval[] {
  return stage.app.approvals.list().filter(({ facts }) => facts.agent === agent)
}

/** The only approval of this agent that waits, once there is one. */
export async function waiting(stage: Stage, where: { readonly agent: string }): Promise<AskedApproval> {
  const held = () => approvalsOf(stage, where).filter((one) => one.held && one.state === 'pending')
  await eventually(() => held().length > 0)
  const [one, ...others] = held()
  if (one === undefined || others.length > 0) throw new Error(`${held().length} approvals wait`)
  return one
}

/** What the person does, once the question is there. */
export async function answerWhenAsked(
  stage: Stage,
  where: { readonly agent: string },
  answer: 'accept' | 'refuse' = 'accept',
): Promise<AskedApproval> {
  const asked = await waiting(stage, where)
  await stage.app.approvals.answer(asked.id, answer, 'operator:person')
  return asked
}

/** The problem document of a refusal. */
export function problemOf(answer: Answer): {
  readonly code?: string
  readonly approval?: string
  readonly detail?: string
} {
  return JSON.parse(answer.body.toString())
}
