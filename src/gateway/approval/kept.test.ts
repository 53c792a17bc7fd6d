import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { createInflight } from '../inflight.ts'
import { createApprovals, type ApprovalQuestion, type Described } from './approvals.ts'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

const facts: Described['facts'] = {
  agent: 'worker',
  environment: 'dev',
  session: 's',
  credential: 'c',
  service: 'echo',
  operation: null,
  destructive: true,
  grant: 'g',
  rule: '*',
  method: 'POST',
  origin: 'https://echo.example.test',
  opensWebSocket: false,
  target: { text: '/', cut: false },
  headers: [],
  body: { bytes: 1, sha256: '', type: null, text: '', cut: false },
}

/** Its digest is made of the body, as that of a request is. */
function questionAbout(body: Buffer): ApprovalQuestion {
  const digest = (): string => body.toString('latin1', 0, 5)
  const describe = (): Described => ({ facts, journaled: { bytes: body.byteLength } })
  return {
    sessionId: 's',
    agentId: 'a',
    narrowed: null,
    credentialId: 'c',
    bodyBytes: body.byteLength,
    digest,
    describe,
  }
}

test('when nobody waits any more, the question stays and the body does not: it is counted no longer', async () => {
  const approvals = createApprovals({
    now: () => 0,
    newId: () => Math.random().toString(36).slice(2),
    inflight: createInflight(),
    journal: { append: async () => undefined },
    waitMilliseconds: 1,
  })
  const bodies: WeakRef<Buffer>[] = []
  for (const name of ['one', 'two', 'three']) {
    const body = Buffer.alloc(1024 * 1024, name)
    bodies.push(new WeakRef(body))
    const answer = await approvals.ask(questionAbout(body), () => undefined)
    expect(answer).toMatchObject({ refusal: 'approval_required' })
  }
  expect(approvals.list()).toHaveLength(3)
  // A weak reference that was looked at holds until the turn is over.
  await new Promise((done) => setTimeout(done, 5))
  collect()
  // The last one may still lie in a register of this very function.
  expect(bodies.slice(0, -1).map((body) => body.deref() === undefined)).toEqual([true, true])
})
