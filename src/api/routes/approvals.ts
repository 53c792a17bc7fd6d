import { KeywardError } from '../../core/errors.ts'
import type { AskedApproval } from '../../gateway/approval/approvals.ts'
import type { Handlers } from '../parts.ts'
import type { ApprovalSummary, ApprovalView } from '../answers.ts'

/** Characters of an operation and a target in the list, so that the whole list can always be shown. */
const SUMMARY_CHARACTERS = 256

function summary({ facts, id, state, held, askedAt, expiresAt, answeredBy }: AskedApproval): ApprovalSummary {
  const { agent, environment, session, credential, service, operation, destructive, method, origin, target } = facts
  const who = { agent, environment, session, credential, service }
  return {
    id,
    state,
    held,
    ...who,
    operation: operation === null ? null : begin(operation),
    destructive,
    method,
    origin,
    target: begin(target.text),
    askedAt,
    expiresAt,
    answeredBy,
  }
}

function begin(text: string): string {
  return text.length <= SUMMARY_CHARACTERS ? text : `${text.slice(0, SUMMARY_CHARACTERS)}…`
}

function view({ facts, ...asked }: AskedApproval): ApprovalView {
  return { ...asked, ...facts }
}

export const approvalRoutes: Handlers<
  'GET /approvals' | 'GET /approvals/:id' | 'POST /approvals/:id/accept' | 'POST /approvals/:id/refuse'
> = {
  'GET /approvals': (parts, { input }) =>
    parts.approvals
      .list()
      .filter(({ facts }) => input.environment === undefined || facts.environment === input.environment)
      .map(summary),

  'GET /approvals/:id': (parts, { path }) => {
    const found = parts.approvals.get(path.id)
    if (found === undefined) throw new KeywardError('not_found', `No open approval has the id ${path.id}.`)
    return view(found)
  },

  'POST /approvals/:id/accept': async (parts, { path, caller, actor }) => {
    const session = parts.approvals.get(path.id)?.facts.session ?? ''
    // Four eyes: whoever lets an agent begin does not also let through what it asks. The owner of a home may be alone.
    if (caller.kind === 'person' && parts.records.get('session', session)?.issuedBy === actor)
      throw new KeywardError('approval_own')
    await parts.approvals.answer(path.id, 'accept', actor)
    return { done: true }
  },

  'POST /approvals/:id/refuse': async (parts, { path, actor }) => {
    await parts.approvals.answer(path.id, 'refuse', actor)
    return { done: true }
  },
}
