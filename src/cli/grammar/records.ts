import { Option } from 'commander'
import type { Command } from 'commander'
import {
  anyEnvironmentOption,
  egressOption,
  environmentOption,
  jsonOption,
  perform,
  valueOptions,
  withOptions,
  certificateOptions,
} from './declare.ts'
import type { Stage } from './declare.ts'

const owner = (): Option => new Option('--owner <mail>', 'who answers for it')

export function declareService(program: Command, stage: Stage): void {
  const noun = program.command('service').description('APIs that credentials open')
  const load = () => import('../commands/service.ts')
  perform(
    withOptions(noun.command('list').description('list every service'), jsonOption()),
    stage,
    async () => (await load()).list,
  )
  perform(
    withOptions(noun.command('show <id>').description('show where a credential of this service goes'), jsonOption()),
    stage,
    async () => (await load()).show,
  )
  perform(
    withOptions(noun.command('add <file>').description('add a service of your own from a YAML file'), jsonOption()),
    stage,
    async () => (await load()).add,
  )
  perform(
    noun.command('remove <id>').description('remove a service of your own'),
    stage,
    async () => (await load()).remove,
  )
}

export function declareCredential(program: Command, stage: Stage): void {
  const noun = program.command('credential').description('keys in the vault')
  const load = () => import('../commands/credential.ts')
  const add = noun.command('add <name>').description('put a key into the vault')
  withOptions(
    add,
    new Option('--service <id>', 'the service it opens').makeOptionMandatory(),
    environmentOption(),
    ...valueOptions(),
  )
  withOptions(
    add,
    new Option('--sensitivity <level>', 'how much harm it could do').choices(['high', 'medium', 'low']),
    owner(),
    jsonOption(),
  )
  perform(add, stage, async () => (await load()).add)
  perform(
    withOptions(
      noun.command('list').description('list credentials, without their secrets'),
      anyEnvironmentOption(),
      jsonOption(),
    ),
    stage,
    async () => (await load()).list,
  )
  perform(
    withOptions(
      noun.command('show <name>').description('show a credential, without its secrets'),
      environmentOption(),
      jsonOption(),
    ),
    stage,
    async () => (await load()).show,
  )
  perform(
    withOptions(
      noun.command('set <name>').description('give it a new value; the old version is revoked here'),
      environmentOption(),
      ...valueOptions(),
      jsonOption(),
    ),
    stage,
    async () => (await load()).set,
  )
  perform(
    withOptions(
      noun.command('reveal <name>').description('show a secret to a person at a terminal; the journal says so'),
      environmentOption(),
      new Option('--field <field>', 'which field'),
    ),
    stage,
    async () => (await load()).reveal,
  )
  perform(
    withOptions(noun.command('suspend <name>').description('stop every use within a second'), environmentOption()),
    stage,
    async () => (await load()).suspend,
  )
  perform(
    withOptions(noun.command('resume <name>').description('allow it again'), environmentOption()),
    stage,
    async () => (await load()).resume,
  )
  const remove = noun.command('remove <name>').description('destroy it and every version')
  withOptions(
    remove,
    environmentOption(),
    new Option('--cascade', 'with the grants that refer to it'),
    new Option('--yes', 'do not ask'),
  )
  perform(remove, stage, async () => (await load()).remove)
}

export function declareNode(program: Command, stage: Stage): void {
  const noun = program.command('node').description('servers that share one store')
  const load = () => import('../commands/node.ts')
  perform(
    withOptions(noun.command('list').description('list the nodes, and whether they live'), jsonOption()),
    stage,
    async () => (await load()).list,
  )
  perform(
    noun.command('remove <name>').description('take one that is gone for good out of the list'),
    stage,
    async () => (await load()).remove,
  )
}

export function declareAgent(program: Command, stage: Stage): void {
  const noun = program.command('agent').description('identities of agents')
  const load = () => import('../commands/agent.ts')
  const machine = () => import('../commands/machine.ts')
  perform(
    withOptions(noun.command('add <name>').description('make an agent'), environmentOption(), owner(), jsonOption()),
    stage,
    async () => (await load()).add,
  )
  perform(
    withOptions(noun.command('list').description('list agents'), anyEnvironmentOption(), jsonOption()),
    stage,
    async () => (await load()).list,
  )
  perform(
    withOptions(
      noun.command('show <name>').description('show an agent and what it may do'),
      environmentOption(),
      jsonOption(),
    ),
    stage,
    async () => (await load()).show,
  )
  perform(
    withOptions(
      noun.command('enrol <name>').description('print a secret by which it logs in once'),
      environmentOption(),
      new Option('--ttl <duration>', 'how long the secret is good: 10m, 7d').default('1h'),
      jsonOption(),
    ),
    stage,
    async () => (await machine()).enrol,
  )
  perform(
    withOptions(
      noun.command('trust <name>').description('let it log in by tokens of an issuer, or by a SPIFFE certificate'),
      environmentOption(),
      new Option('--issuer <url>', 'who signs the tokens (iss)'),
      new Option('--audience <text>', 'for whom they are made (aud), and for nobody else'),
      new Option('--claim <path=value...>', 'what a token must say: sub=…, kubernetes.io/namespace=…; * but no colon'),
      new Option('--jwks <url>', 'where the keys are; the issuer’s own configuration says so otherwise'),
      new Option('--keys-file <file>', 'the keys themselves (JWKS)').conflicts('jwks'),
      new Option('--one-use', 'each token is good for one login'),
      new Option('--private-network', 'the issuer may have an address of a private network'),
      new Option('--ca-file <file>', 'the authorities of the issuer’s certificate'),
      new Option('--spiffe <id>', 'the SPIFFE id of its certificate; * but no slash').conflicts([
        'issuer',
        'audience',
        'claim',
      ]),
      jsonOption(),
    ),
    stage,
    async () => (await machine()).trust,
  )
  perform(
    withOptions(
      noun.command('logins <name>').description('how it may log in by itself'),
      environmentOption(),
      jsonOption(),
    ),
    stage,
    async () => (await machine()).logins,
  )
  perform(
    noun.command('distrust <id>').description('take a trust back, and end the sessions that came of it'),
    stage,
    async () => (await machine()).distrust,
  )
  perform(
    noun.command('withdraw <id>').description('take an enrolment secret back'),
    stage,
    async () => (await machine()).withdraw,
  )
  perform(
    withOptions(
      noun.command('suspend <name>').description('refuse it and all its sessions within a second'),
      environmentOption(),
    ),
    stage,
    async () => (await load()).suspend,
  )
  perform(
    withOptions(noun.command('resume <name>').description('allow it again'), environmentOption()),
    stage,
    async () => (await load()).resume,
  )
  perform(
    withOptions(
      noun.command('remove <name>').description('remove it, with its grants and sessions'),
      environmentOption(),
    ),
    stage,
    async () => (await load()).remove,
  )
}

export function declareGrant(program: Command, stage: Stage): void {
  const noun = program.command('grant').description('which agent may use which credential for what')
  const load = () => import('../commands/grant.ts')
  const add = noun.command('add').description('let an agent use a credential')
  withOptions(
    add,
    new Option('--agent <name>', 'the agent').makeOptionMandatory(),
    new Option('--credential <name>', 'the credential').makeOptionMandatory(),
    new Option(
      '--allow <operation...>',
      'operations by name or as "METHOD /path"; * is everything',
    ).makeOptionMandatory(),
    new Option('--deny <operation...>', 'operations that stay refused'),
    environmentOption(),
    new Option('--rate <rate>', 'requests in a span: 60/min'),
    new Option('--concurrent <count>', 'requests at the same time'),
    new Option('--when <cel>', 'allow only where this holds, as in \'request.body.model == "small"\''),
    new Option('--approve <which>', 'of which requests a person is asked first').choices([
      'never',
      'destructive',
      'always',
    ]),
    new Option('--expires <duration>', 'end of the grant: 30d'),
    jsonOption(),
  )
  perform(add, stage, async () => (await load()).add)
  const list = noun.command('list').description('list grants')
  withOptions(
    list,
    anyEnvironmentOption(),
    new Option('--agent <name>', 'only of this agent'),
    new Option('--credential <name>', 'only of this credential'),
    jsonOption(),
  )
  perform(list, stage, async () => (await load()).list)
  perform(
    withOptions(noun.command('show <id>').description('show a grant'), jsonOption()),
    stage,
    async () => (await load()).show,
  )
  perform(noun.command('remove <id>').description('take a grant back'), stage, async () => (await load()).remove)
}

export function declareSession(program: Command, stage: Stage): void {
  const noun = program.command('session').description('short-lived logins of agents')
  const load = () => import('../commands/session.ts')
  const issue = noun.command('issue').description('log an agent in; prints its token and placeholders')
  withOptions(
    issue,
    new Option('--agent <name>', 'the agent').makeOptionMandatory(),
    environmentOption(),
    new Option('--ttl <duration>', 'how long: 15m, 12h'),
    new Option('--bind <address>', 'accept it from this IP address only'),
    egressOption(),
    jsonOption(),
  )
  perform(issue, stage, async () => (await load()).issue)
  const list = noun.command('list').description('list live sessions')
  withOptions(
    list,
    anyEnvironmentOption(),
    new Option('--agent <name>', 'only of this agent'),
    new Option('--all', 'ended ones too'),
    jsonOption(),
  )
  perform(list, stage, async () => (await load()).list)
  perform(
    withOptions(
      noun.command('show <id>').description('show a session, and what is known of those narrowed from it'),
      jsonOption(),
    ),
    stage,
    async () => (await load()).show,
  )
  const login = noun.command('login').description('log in by what this machine has; prints token and placeholders')
  withOptions(
    login,
    new Option('--enrolment-file <file>', 'a secret of agent enrol'),
    new Option('--jwt-file <file>', 'a token of an issuer, as Kubernetes and CI give them'),
    ...certificateOptions(),
    new Option('--agent <name>', 'which agent, where that is not certain'),
    environmentOption(),
    new Option('--ttl <duration>', 'how long: 15m, 12h'),
    egressOption(),
    jsonOption(),
  )
  perform(login, stage, async () => (await load()).login)
  const narrow = noun
    .command('narrow')
    .description('take away from a session without a server; reads its token from KEYWARD_TOKEN or stdin')
  withOptions(
    narrow,
    new Option('--allow <operation...>', 'only operations by name or as "METHOD /path"'),
    new Option('--deny <operation...>', 'not these operations'),
    new Option('--credential <name...>', 'only these credentials'),
    new Option('--ttl <duration>', 'only so long: 90s, 10m'),
    new Option('--uses <count>', 'only so many requests, those of sessions narrowed from it included'),
    new Option('--from <address>', 'only from this IP address'),
    new Option('--from-variable <name>', 'the variable that holds the token'),
    jsonOption(),
  )
  perform(narrow, stage, async () => (await import('../commands/narrow.ts')).narrow)
  perform(
    noun.command('suspend <id>').description('refuse a session for now'),
    stage,
    async () => (await load()).suspend,
  )
  perform(noun.command('resume <id>').description('allow it again'), stage, async () => (await load()).resume)
  perform(
    noun.command('revoke <id>').description('end a session, or a narrowing of one, and its tunnels'),
    stage,
    async () => (await load()).revoke,
  )
}

export function declareApproval(program: Command, stage: Stage): void {
  const noun = program.command('approval').description('requests of agents about which a person is asked')
  const load = () => import('../commands/approval.ts')
  perform(
    withOptions(
      noun.command('list').description('list those of the last ten minutes that were not used'),
      anyEnvironmentOption(),
      new Option('--watch', 'go on, and print each that is asked or answered; with --json one line each'),
      new Option('--bell', 'with --watch: ring the bell of the terminal for each question'),
      jsonOption(),
    ),
    stage,
    async () => (await load()).list,
  )
  perform(
    withOptions(noun.command('show <id>').description('show what would be sent'), jsonOption()),
    stage,
    async () => (await load()).show,
  )
  perform(
    noun.command('accept <id>').description('let this very request go out, once'),
    stage,
    async () => (await load()).accept,
  )
  perform(noun.command('refuse <id>').description('refuse it'), stage, async () => (await load()).refuse)
}
