import { z } from 'zod'
import { callLanguages } from '../core/call-pattern.ts'
import type { Json } from '../core/canonical-json.ts'
import { login, loginSummary, me, oidcBeginning, person } from './people-answers.ts'
import { entry, pruning, verification, witness } from './journal-answers.ts'
import { node } from './node-answer.ts'
import { agentLogins, count, moment, narrowing, texts, trust } from './login-answers.ts'
import { newSlot, rotatedRoot, rotatedTerms, vault } from './vault-answer.ts'

/**
 * What comes out of the control API, route by route. Times are milliseconds since the Unix epoch. Like the
 * inputs beside it (`schema.ts`) this is what the OpenAPI document is made from, so what is written here is
 * what a client of another language is promised.
 */

const egress = z.enum(['open', 'deny'])
const byField = z.record(z.string(), z.string())

const environment = z.strictObject({
  name: z.string(),
  egress,
  credentials: count,
  agents: count,
  sessions: count,
})

const status = z.strictObject({
  version: z.string(),
  processId: count,
  home: z.string(),
  store: z.string().describe('Where the records are: a path, or the URL of a database without its password.'),
  gateway: z.string().describe('`host:port`'),
  monitor: z.string().nullable().describe('`host:port` where health and metrics are told, or null.'),
  startedAt: moment,
  ephemeral: z.boolean(),
  journalEntries: count,
  node: z.string(),
  storeSchema: count.describe('The schema of the store.'),
  liveNodes: count
    .nullable()
    .describe('Nodes that have the store open, this one among them; null where the store cannot say.'),
  journalShipping: z
    .strictObject({ behind: count, error: z.string().nullable() })
    .nullable()
    .describe('Closed segments that have not arrived where they are shipped, and why; null: nothing is shipped.'),
  environments: z.array(environment),
})

const fieldKind = z.enum(['secret', 'public'])

const service = z.strictObject({
  id: z.string(),
  name: z.string(),
  hosts: texts,
  endpoint: z.string().nullable(),
  fields: z.record(z.string(), fieldKind),
  inject: texts.describe('Each place of injection in words: `header x-api-key`.'),
  variables: z.strictObject({ fields: z.record(z.string(), texts), baseUrl: texts, basePath: z.string() }),
  operations: z.array(z.strictObject({ name: z.string(), match: z.string(), destructive: z.boolean().optional() })),
  speaks: z
    .array(z.strictObject({ path: z.string(), language: z.enum(callLanguages) }))
    .describe('Where requests are judged by what their bodies ask for.'),
  detector: z.string().nullable(),
  checked: z.enum(['sdk', 'documented']),
  source: z.string(),
  own: z.boolean().describe('Whether the operator brought it, rather than Keyward.'),
})

const credential = z.strictObject({
  id: z.string(),
  name: z.string(),
  environment: z.string(),
  service: z.string(),
  owner: z.string().nullable(),
  sensitivity: z.enum(['high', 'medium', 'low']),
  state: z.enum(['active', 'suspended']),
  version: count.nullable(),
  publicFields: byField,
  createdAt: moment,
})

const agent = z.strictObject({
  id: z.string(),
  name: z.string(),
  environment: z.string(),
  owner: z.string().nullable(),
  state: z.enum(['active', 'suspended']),
  createdAt: moment,
})

const grant = z.strictObject({
  id: z.string(),
  environment: z.string(),
  agent: z.string(),
  credential: z.string(),
  allow: texts,
  deny: texts,
  rate: z.strictObject({ count, perSeconds: count }).nullable(),
  concurrent: count.nullable(),
  when: z.string().nullable().describe('The condition, in CEL.'),
  approve: z.enum(['never', 'destructive', 'always']),
  expiresAt: moment.nullable(),
  createdAt: moment,
})

const excerpt = z.strictObject({ text: z.string(), cut: z.boolean().describe('Whether `text` leaves something out.') })

const approvalSummary = z
  .strictObject({
    id: z.string(),
    state: z.enum(['pending', 'accepted', 'refused']),
    held: z.boolean().describe('Whether its request waits for the answer; otherwise the agent has to send it again.'),
    agent: z.string(),
    environment: z.string(),
    session: z.string(),
    credential: z.string(),
    service: z.string(),
    operation: z.string().nullable(),
    destructive: z.boolean(),
    method: z.string(),
    origin: z.string(),
    target: z.string().describe('Begins as the target does; the whole is in the approval itself.'),
    askedAt: moment,
    expiresAt: moment.describe('From then on it can be neither answered nor used.'),
    answeredBy: z.string().nullable(),
  })
  .describe(
    'One request about which a person is asked. Texts of the agent’s have everything written out that a terminal would obey or hide.',
  )

const approval = z.strictObject({
  ...approvalSummary.shape,
  grant: z.string().describe('The grant that asks.'),
  rule: z.string(),
  opensWebSocket: z.boolean(),
  hash: z.string().describe('SHA-256 of the request and a nonce: what the answer is for.'),
  target: excerpt,
  headers: texts.describe('Names only.'),
  body: z.strictObject({ bytes: count, sha256: z.string(), type: z.string().nullable(), ...excerpt.shape }),
})

const session = z.strictObject({
  id: z.string(),
  agent: z.string(),
  environment: z.string(),
  state: z.enum(['active', 'suspended', 'revoked', 'expired']),
  egress,
  binding: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('unbound') }),
    z.strictObject({ kind: z.literal('process'), processId: count, startTicks: z.string() }),
    z.strictObject({ kind: z.literal('address'), address: z.string() }),
  ]),
  login: z
    .strictObject({
      kind: z.enum(['issued', 'enrolment', 'jwt', 'certificate']),
      by: z.string().nullable().describe('The id of the enrolment or the trust.'),
      subject: z.string().nullable(),
    })
    .describe('How it logged in.'),
  key: z.string().nullable().describe('The thumbprint (RFC 7638) of the key that it is bound to.'),
  placeholders: count,
  createdAt: moment,
  expiresAt: moment,
})

const sessionShown = session.extend({ narrowings: z.array(narrowing) })

const held = z
  .strictObject({
    name: z.string(),
    service: z.string(),
    fields: z.array(z.strictObject({ field: z.string(), kind: fieldKind, text: z.string(), variables: texts })),
    hosts: texts,
    baseUrl: z.strictObject({ url: z.string(), variables: texts }),
  })
  .describe('One credential in a session: what stands for its fields, and under which names.')

const issued = z
  .strictObject({
    id: z.string(),
    agent: z.string(),
    environment: z.string(),
    egress,
    token: z.string(),
    expiresAt: moment,
    ttlSeconds: count,
    credentials: z.array(held),
    gateway: z.strictObject({ address: z.string(), socket: z.string().nullable() }),
    caCertificate: z.string().describe('PEM text.'),
  })
  .describe('A session as its holder receives it, once: token and placeholders are not kept anywhere.')

const place = z.strictObject({ file: z.string(), line: z.int(), column: z.int() })
const json: z.ZodType<Json> = z.json()

const plan = z
  .strictObject({
    digest: z.string().describe('What applying it has to name.'),
    steps: z.array(
      z.strictObject({
        action: z.enum(['create', 'change', 'remove']),
        kind: z.string(),
        name: z.string().describe('`prod`, `dev/triage`; of a grant `environment/agent/credential`.'),
        differences: z.array(z.strictObject({ member: z.string(), before: json, after: json })),
        place: place.nullable(),
      }),
    ),
    unchanged: count,
    pending: texts.describe('Credentials in the files that will still have no value.'),
    problems: z.array(
      z.strictObject({
        code: z.string(),
        message: z.string(),
        place: place.nullable(),
        title: z.string(),
        next: z.string(),
      }),
    ),
  })
  .describe('What policy files would change.')

const backupNames = z.strictObject({
  storeId: z.string(),
  known: z.array(z.strictObject({ name: z.string(), madeAt: moment, epoch: count, sha256: z.string() })),
  keysChangedAt: moment.describe(
    'When a way in or a key that seals was last added: earlier backups open with those of then.',
  ),
})

const done = z.strictObject({ done: z.literal(true) })
const made = z.strictObject({ id: z.string() })

/** The answers that have a name of their own in the OpenAPI document. */
export const namedAnswers = {
  Environment: environment,
  Status: status,
  Node: node,
  Vault: vault,
  Service: service,
  Credential: credential,
  Agent: agent,
  Grant: grant,
  ApprovalSummary: approvalSummary,
  Approval: approval,
  Session: session,
  SessionShown: sessionShown,
  Narrowing: narrowing,
  HeldCredential: held,
  AgentLogins: agentLogins,
  Trust: trust,
  IssuedSession: issued,
  PolicyPlan: plan,
  JournalEntry: entry,
  JournalVerification: verification,
  JournalWitness: witness,
  Login: login,
  LoginSummary: loginSummary,
  Me: me,
  Person: person,
  Done: done,
  Made: made,
} as const

export const answers = {
  'GET /status': status,
  'GET /nodes': z.array(node),
  'DELETE /nodes/:name': done,
  'GET /vault': vault,
  'POST /vault/slots': newSlot,
  'DELETE /vault/slots/:id': done,
  'POST /vault/root-rotations': rotatedRoot,
  'POST /vault/term-rotations': rotatedTerms,
  'GET /environments': z.array(environment),
  'GET /services': z.array(service),
  'GET /services/:service': service,
  'POST /services': service,
  'DELETE /services/:service': done,
  'GET /credentials': z.array(credential),
  'GET /environments/:environment/credentials/:name': credential,
  'POST /environments/:environment/credentials': made,
  'PUT /environments/:environment/credentials/:name': z.strictObject({ version: count }),
  'POST /environments/:environment/credentials/:name/reveal': z.strictObject({ field: z.string(), value: z.string() }),
  'POST /environments/:environment/credentials/:name/suspend': done,
  'POST /environments/:environment/credentials/:name/resume': done,
  'DELETE /environments/:environment/credentials/:name': done,
  'GET /agents': z.array(agent),
  'GET /environments/:environment/agents/:name': agent,
  'POST /environments/:environment/agents': made,
  'POST /environments/:environment/agents/:name/suspend': done,
  'POST /environments/:environment/agents/:name/resume': done,
  'DELETE /environments/:environment/agents/:name': done,
  'GET /grants': z.array(grant),
  'GET /grants/:id': grant,
  'POST /environments/:environment/grants': made,
  'DELETE /grants/:id': done,
  'GET /approvals': z.array(approvalSummary),
  'GET /approvals/:id': approval,
  'POST /approvals/:id/accept': done,
  'POST /approvals/:id/refuse': done,
  'GET /policy': z.strictObject({ text: z.string().describe('YAML: docs/formats/policy-files.md.') }),
  'POST /policy/plan': plan,
  'POST /policy': plan,
  'POST /machine/logins': issued,
  'POST /machine/renewals': z.strictObject({ id: z.string(), expiresAt: moment, ttlSeconds: count }),
  'POST /machine/logouts': done,
  'GET /environments/:environment/agents/:name/logins': agentLogins,
  'POST /environments/:environment/agents/:name/enrolments': z.strictObject({
    id: z.string(),
    secret: z.string().describe('Good for one login; it is not kept anywhere.'),
    expiresAt: moment,
  }),
  'POST /environments/:environment/agents/:name/trusts': made,
  'DELETE /enrolments/:id': done,
  'DELETE /trusts/:id': done,
  'GET /sessions': z.array(session),
  'GET /sessions/:id': sessionShown,
  'POST /environments/:environment/sessions': issued,
  'POST /sessions/:id/extend': done,
  'POST /sessions/:id/suspend': done,
  'POST /sessions/:id/resume': done,
  'DELETE /sessions/:id': done,
  'POST /environments/:environment/runs': issued,
  'POST /occurrences': z.strictObject({
    found: z.array(z.boolean()).describe('Whether each text holds a secret of the vault.'),
    holders: z
      .array(z.string().nullable())
      .describe('The credential of the environment named whose secret each text is.'),
  }),
  /** A stream of JSON lines, one entry each. */
  'GET /journal': entry,
  'GET /journal/verification': verification,
  'GET /journal/witness': witness,
  'POST /journal/prunes': pruning,
  /** A stream of bytes: docs/formats/backup.md. */
  'POST /backups': z.string().meta({ format: 'binary' }).describe('docs/formats/backup.md; not encrypted yet.'),
  'POST /backups/:id/file': z.strictObject({ name: z.string() }),
  'POST /backups/names': backupNames,
  'GET /me': me,
  'POST /logins': login,
  'POST /logins/oidc/begin': oidcBeginning,
  'POST /logins/oidc': login,
  'GET /logins': z.array(loginSummary),
  'DELETE /logins/:id': done,
  'DELETE /me/login': done,
  'POST /login-codes': z.strictObject({
    code: z.string(),
    link: z.string().nullable().describe('The same as a page to open; null where no port is served.'),
    expiresAt: moment,
  }),
  'GET /people': z.array(person),
  'POST /people': made,
  'PUT /people/:id': done,
  'DELETE /people/:id': done,
  'POST /shutdown': done,
} as const

/** JSON of any shape is frozen as it is. */
type Frozen<T> = [Json] extends [T]
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Frozen<Item>[]
    : T extends object
      ? { readonly [Member in keyof T]: Frozen<T[Member]> }
      : T

export type RouteName = keyof typeof answers
export type Answers = { readonly [R in RouteName]: Frozen<z.output<(typeof answers)[R]>> }

export type StatusView = Frozen<z.output<typeof status>>
export type NodeView = Frozen<z.output<typeof node>>
export type EnvironmentView = Frozen<z.output<typeof environment>>
export type ServiceView = Frozen<z.output<typeof service>>
export type CredentialView = Frozen<z.output<typeof credential>>
export type AgentView = Frozen<z.output<typeof agent>>
export type GrantView = Frozen<z.output<typeof grant>>
export type ApprovalSummary = Frozen<z.output<typeof approvalSummary>>
export type ApprovalView = Frozen<z.output<typeof approval>>
export type PlanView = Frozen<z.output<typeof plan>>
export type SessionView = Frozen<z.output<typeof session>>
export type TrustView = Frozen<z.output<typeof trust>>
export type AgentLoginsView = Frozen<z.output<typeof agentLogins>>
export type SessionShown = Frozen<z.output<typeof sessionShown>>
export type IssuedView = Frozen<z.output<typeof issued>>
export type HeldView = Frozen<z.output<typeof held>>
