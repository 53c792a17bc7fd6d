import type { RouteName } from './answers.ts'

/** What the OpenAPI document says of a route. */
export interface OperationText {
  /** `operationId`: what generated clients call it. It stays as it is. */
  readonly id: string
  readonly summary: string
}

export const operationTexts: { readonly [R in RouteName]: OperationText } = {
  'GET /status': { id: 'showStatus', summary: 'What the server of this home is doing' },
  'GET /environments': { id: 'listEnvironments', summary: 'Every environment, with what it holds' },
  'GET /services': { id: 'listServices', summary: 'Every service, those of the operator included' },
  'GET /services/:service': { id: 'showService', summary: 'Where a credential of this service goes' },
  'POST /services': { id: 'addService', summary: 'Add a service of one’s own from YAML' },
  'DELETE /services/:service': { id: 'removeService', summary: 'Remove a service of one’s own' },
  'GET /credentials': { id: 'listCredentials', summary: 'Credentials, without their secrets' },
  'GET /environments/:environment/credentials/:name': {
    id: 'showCredential',
    summary: 'A credential, without its secrets',
  },
  'POST /environments/:environment/credentials': { id: 'addCredential', summary: 'Put a key into the vault' },
  'PUT /environments/:environment/credentials/:name': {
    id: 'setCredential',
    summary: 'Give it a new value; the old version is revoked here',
  },
  'POST /environments/:environment/credentials/:name/reveal': {
    id: 'revealCredential',
    summary: 'Show a secret to a person; the journal says so',
  },
  'POST /environments/:environment/credentials/:name/suspend': {
    id: 'suspendCredential',
    summary: 'Stop every use of it within a second',
  },
  'POST /environments/:environment/credentials/:name/resume': { id: 'resumeCredential', summary: 'Allow it again' },
  'DELETE /environments/:environment/credentials/:name': {
    id: 'removeCredential',
    summary: 'Remove it, with `cascade` also the grants that point to it',
  },
  'GET /agents': { id: 'listAgents', summary: 'Every agent' },
  'GET /environments/:environment/agents/:name': { id: 'showAgent', summary: 'An agent' },
  'POST /environments/:environment/agents': { id: 'addAgent', summary: 'Make an agent' },
  'POST /environments/:environment/agents/:name/suspend': {
    id: 'suspendAgent',
    summary: 'Stop everything that it does within a second',
  },
  'POST /environments/:environment/agents/:name/resume': { id: 'resumeAgent', summary: 'Allow it again' },
  'DELETE /environments/:environment/agents/:name': {
    id: 'removeAgent',
    summary: 'Remove it, its grants and its sessions',
  },
  'GET /grants': { id: 'listGrants', summary: 'Which agent may do what with which credential' },
  'GET /grants/:id': { id: 'showGrant', summary: 'A grant' },
  'POST /environments/:environment/grants': { id: 'addGrant', summary: 'Allow an agent operations with a credential' },
  'DELETE /grants/:id': { id: 'removeGrant', summary: 'Take it back; what is open under it ends' },
  'GET /approvals': { id: 'listApprovals', summary: 'Requests about which a person is asked' },
  'GET /approvals/:id': {
    id: 'showApproval',
    summary: 'A request about which a person is asked, and what it would do',
  },
  'POST /approvals/:id/accept': { id: 'acceptApproval', summary: 'Let this very request go out once' },
  'POST /approvals/:id/refuse': { id: 'refuseApproval', summary: 'Let it not go out' },
  'GET /policy': { id: 'exportPolicy', summary: 'Everything that policy files can describe, as YAML' },
  'POST /policy/plan': { id: 'planPolicy', summary: 'What policy files would change' },
  'POST /policy': { id: 'applyPolicy', summary: 'Make it so, in one commit' },
  'GET /sessions': { id: 'listSessions', summary: 'Sessions, without their tokens' },
  'GET /sessions/:id': { id: 'showSession', summary: 'A session, and what is known of those narrowed from it' },
  'POST /environments/:environment/sessions': { id: 'issueSession', summary: 'Issue a session to an agent' },
  'POST /sessions/:id/extend': { id: 'extendSession', summary: 'Let it live so much longer from now on' },
  'POST /sessions/:id/suspend': { id: 'suspendSession', summary: 'Stop it until it is resumed' },
  'POST /sessions/:id/resume': { id: 'resumeSession', summary: 'Allow it again' },
  'DELETE /sessions/:id': {
    id: 'revokeSession',
    summary: 'End it for good, or a narrowing of one, with all that is open in it',
  },
  'POST /environments/:environment/runs': {
    id: 'startRun',
    summary: 'Issue a session for a program that is about to start, and make its agent where there is none',
  },
  'POST /occurrences': { id: 'findOccurrences', summary: 'Which of these texts hold a secret of the vault' },
  'GET /journal': { id: 'streamJournal', summary: 'Entries of the journal, as JSON lines' },
  'GET /journal/verification': { id: 'verifyJournal', summary: 'Whether the journal is whole' },
  'GET /journal/witness': { id: 'showJournalWitness', summary: 'What the journal is verified with' },
  'POST /journal/prunes': { id: 'pruneJournal', summary: 'Remove old segments; what is left still verifies' },
  'POST /backups': { id: 'makeBackup', summary: 'One moment of everything, to be encrypted by whoever asked' },
  'POST /backups/:id/file': { id: 'keepBackup', summary: 'Journal which file came of it, and name the file' },
  'POST /backups/names': { id: 'recogniseBackups', summary: 'Which of these files this home made, and when' },
  'POST /shutdown': { id: 'stopServer', summary: 'Stop the server once the answer is out' },
}
