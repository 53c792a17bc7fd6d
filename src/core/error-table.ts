/**
 * Every error that a person, a program or an agent can meet. The code is stable; `status` is what the
 * gateway or the API answers; `exit` is what the command ends with (1 refused or found, 2 wrong usage,
 * 3 cannot reach the server); `title` is one clear sentence and `next` what to do about it.
 * `docs/errors.md` is the same table, and a test keeps the two equal.
 */
interface ErrorRow {
  readonly status: number
  readonly exit: 1 | 2 | 3
  readonly title: string
  readonly next: string
}

export const errors = {
  // Who is calling
  token_missing: { status: 407, exit: 1, title: 'The request carries no Keyward session.', next: 'Start the program with `keyward run -- CMD`, or set the variables that `keyward env` prints.' },
  token_invalid: { status: 401, exit: 1, title: 'The session token or placeholder is not one that Keyward issued.', next: 'Check for a truncated or mistyped value; `keyward session issue --agent NAME` makes a new one.' },
  session_expired: { status: 401, exit: 1, title: 'The session has expired.', next: 'Start a new one: `keyward run -- CMD` or `keyward session issue --agent NAME`.' },
  session_revoked: { status: 401, exit: 1, title: 'The session was revoked.', next: 'Ask the operator; `keyward session list` shows when and by whom.' },
  session_suspended: { status: 403, exit: 1, title: 'The session is suspended.', next: 'Ask the operator to resume it.' },
  agent_suspended: { status: 403, exit: 1, title: 'The agent is suspended.', next: 'The operator resumes it with `keyward agent resume NAME`.' },
  session_elsewhere: { status: 403, exit: 1, title: 'The session is bound to another process or address than the one that calls.', next: 'Start the program itself with `keyward run -- CMD`; tokens and placeholders do not work outside of the run that they were made for.' },
  placeholder_foreign: { status: 403, exit: 1, title: 'The placeholder belongs to another session.', next: 'Use the placeholder that this session was given; it is in the variables of `keyward run` or `keyward env`.' },
  placeholder_elsewhere: { status: 403, exit: 1, title: 'The placeholder belongs to another service.', next: 'Send it only to the hosts of its own service; `keyward service show ID` lists them.' },
  placeholder_required: { status: 401, exit: 1, title: 'The request brings a credential that is not a placeholder.', next: 'Remove the key from the program; Keyward puts the real one in.' },
  placeholder_ambiguous: { status: 400, exit: 1, title: 'The place of the credential is filled more than once.', next: 'Send exactly one credential.' },
  signature_missing: { status: 401, exit: 1, title: 'The service takes signed requests, and this one is not signed.', next: 'Sign it with the placeholders that this session was given, in the Authorization header; an SDK does so when both are set.' },
  signature_invalid: { status: 403, exit: 1, title: 'The signature of the request does not verify with the placeholder.', next: 'Sign with the placeholders of one session, and send exactly what was signed.' },
  signature_expired: { status: 403, exit: 1, title: 'The request was signed too long ago, or in the future.', next: 'Set the clock of the program: a signature is good for five minutes.' },
  signature_unsupported: { status: 400, exit: 1, title: 'This form of signature is not supported.', next: 'Sign the whole request in its Authorization header: no presigned URL, no signature for each chunk, no other algorithm.' },
  // Where it goes
  service_unknown: { status: 404, exit: 1, title: 'No such service.', next: '`keyward service list` shows those that exist; `keyward service add FILE.yaml` adds one.' },
  service_changed: { status: 503, exit: 1, title: 'The service was changed while the request was under way.', next: 'Send the request again: it is judged by the service as it is now.' },
  host_not_listed: { status: 403, exit: 1, title: 'No service lists this host, and the environment does not allow other hosts.', next: 'Add the host to a service, or run with `--egress open` in dev.' },
  host_sibling: { status: 403, exit: 1, title: 'The host is a sibling of a listed host, and siblings are refused.', next: 'If the host belongs to the service, list it in the service.' },
  host_refused: { status: 403, exit: 1, title: 'The host resolves to an address that Keyward does not dial.', next: 'Private, link-local and metadata addresses are dialled only when a service names them in its endpoint.' },
  host_mismatch: { status: 421, exit: 1, title: 'The request names another host than its connection.', next: 'Send each host its own connection.' },
  port_refused: { status: 403, exit: 1, title: 'This port is not allowed.', next: 'Other hosts are reached on ports 80 and 443 only.' },
  loop_refused: { status: 403, exit: 1, title: 'The gateway does not proxy to itself.', next: 'Use the base URL `http://GATEWAY/s/SERVICE/`, directly and not through the proxy.' },
  cleartext_refused: { status: 403, exit: 1, title: 'A credential is never sent without TLS.', next: 'Use https. Plain HTTP is possible only to a loopback endpoint that the service names.' },
  // Whether it may
  credential_missing: { status: 403, exit: 1, title: 'There is no credential for this service in this environment.', next: '`keyward credential add NAME --service ID`' },
  credential_ambiguous: { status: 409, exit: 1, title: 'More than one credential fits, and the request presents no placeholder.', next: 'Send the placeholder of the one that is meant.' },
  credential_suspended: { status: 403, exit: 1, title: 'The credential is suspended.', next: 'The operator resumes it with `keyward credential resume NAME`.' },
  credential_replaced: { status: 409, exit: 1, title: 'The credential was replaced while the connection was open.', next: 'Connect again; the new one is used at once.' },
  field_missing: { status: 500, exit: 1, title: 'The credential lacks a field that the service needs.', next: '`keyward credential set NAME --field FIELD=SOURCE`' },
  grant_missing: { status: 403, exit: 1, title: 'No grant lets this agent use this credential.', next: '`keyward grant add --agent A --credential C --allow OP`' },
  grant_expired: { status: 403, exit: 1, title: 'The grant has expired.', next: '`keyward grant add` makes a new one.' },
  operation_not_allowed: { status: 403, exit: 1, title: 'No grant allows this operation.', next: '`keyward grant list --agent A` shows what is allowed; the operator may add the operation.' },
  operation_denied: { status: 403, exit: 1, title: 'A grant denies this operation.', next: '`keyward grant list --agent A` shows the rule.' },
  operation_sealed: { status: 403, exit: 1, title: 'This operation hands out credentials, which Keyward does not pass on.', next: 'Let a person do this outside the agent.' },
  credential_withheld: { status: 403, exit: 1, title: 'The answer hands out a credential, which Keyward does not pass on.', next: 'Let a person do this outside the agent. If the agent is meant to have it, the operator lists the call under `handsOut` in the service file.' },
  rate_exceeded: { status: 429, exit: 1, title: 'The rate limit of the grant is reached.', next: 'Wait as long as Retry-After says.' },
  concurrency_exceeded: { status: 429, exit: 1, title: 'As many requests as the grant allows are in flight.', next: 'Wait for one of them to end.' },
  environment_mismatch: { status: 403, exit: 1, title: 'Agent and credential belong to different environments.', next: 'Use a credential of the agent’s own environment.' },
  lease_lost: { status: 503, exit: 1, title: 'This node cannot confirm the current policy.', next: 'Check the store; the node serves again when it can reach it.' },
  // What it looks like
  request_malformed: { status: 400, exit: 1, title: 'The request is ambiguous or malformed.', next: 'Send the canonical form.' },
  path_not_canonical: { status: 400, exit: 1, title: 'The path has more than one reading.', next: 'Send it without dot segments, empty segments, encoded separators, semicolons or needless percent escapes.' },
  method_refused: { status: 405, exit: 1, title: 'This method is not forwarded.', next: 'TRACE, TRACK, CONNECT inside a tunnel and method overrides are refused.' },
  request_too_large: { status: 413, exit: 1, title: 'The request is larger than Keyward accepts.', next: 'docs/guide/limits.md has the limits.' },
  request_timeout: { status: 408, exit: 1, title: 'The request did not arrive in time.', next: 'Send its body without long pauses.' },
  upgrade_refused: { status: 501, exit: 1, title: 'This protocol upgrade is not supported.', next: 'Use plain HTTP/1.1, or version 13 of the WebSocket protocol over it.' },
  frame_refused: { status: 400, exit: 1, title: 'A WebSocket frame breaks the rules of the protocol.', next: 'Send frames without extensions (no compression), masked by the client, text as UTF-8.' },
  websocket_idle: { status: 408, exit: 1, title: 'Nothing moved on the WebSocket for too long.', next: 'Connect again, and send pings.' },
  secret_not_injectable: { status: 500, exit: 1, title: 'A field of the credential cannot stand in a request.', next: 'Set it again without line breaks, control characters or surrounding spaces.' },
  body_not_injectable: { status: 400, exit: 1, title: 'The service takes its credential in the body, and this body cannot take it.', next: 'Send the JSON or the form that the service takes, in UTF-8 and without a content coding, with the placeholder in its place.' },
  connection_flooded: { status: 429, exit: 1, title: 'The connection was flooded with frames that ask for nothing.', next: 'Send requests instead of resets, pings and empty frames.' },
  too_many_attempts: { status: 429, exit: 1, title: 'Too many failed attempts.', next: 'Wait a minute.' },
  overloaded: { status: 503, exit: 1, title: 'The gateway has reached one of its bounds.', next: 'Retry after a moment.' },
  // The other side
  upstream_unreachable: { status: 502, exit: 1, title: 'The service cannot be reached.', next: 'Check the network and the status page of the service.' },
  upstream_untrusted: { status: 502, exit: 1, title: 'The service’s certificate does not verify for its host; nothing was sent.', next: 'If the service has a private authority, name it in `trust`.' },
  upstream_timeout: { status: 504, exit: 1, title: 'The service did not answer in time.', next: 'Retry, if the operation may be repeated.' },
  upstream_broken: { status: 502, exit: 1, title: 'The service broke off its answer.', next: 'Retry, if the operation may be repeated.' },
  answer_withheld: { status: 502, exit: 1, title: 'The answer cannot be checked for secrets, so it is not passed on.', next: 'Ask for the whole of it, in identity, gzip, deflate, br or zstd.' },
  // The journal and the store
  journal_unwritable: { status: 503, exit: 1, title: 'The journal cannot be written, so nothing is sent.', next: 'Check disk space and permissions of the journal folder; `keyward doctor` tells more.' },
  journal_damaged: { status: 500, exit: 1, title: 'The journal does not verify.', next: '`keyward journal verify` names the first bad entry; keep the files and restore from a backup.' },
  store_foreign: { status: 500, exit: 1, title: 'The database belongs to something else.', next: 'Point KEYWARD_HOME at an empty folder or at a Keyward home.' },
  store_newer: { status: 500, exit: 1, title: 'The database was written by a newer Keyward.', next: 'Run that version or a later one.' },
  store_conflict: { status: 409, exit: 1, title: 'Somebody else changed the store at the same time.', next: 'Retry.' },
  store_tampered: { status: 500, exit: 1, title: 'A record was changed behind Keyward’s back.', next: 'Find out who can write to the store, then restore from a backup.' },
  store_rolled_back: { status: 500, exit: 1, title: 'The store is older than the journal says.', next: 'Restore honestly, or find out who replaced it.' },
  store_unreadable: { status: 500, exit: 1, title: 'The database cannot be read or written.', next: 'Check its permissions and its disk; if it is damaged, restore from a backup.' },
  root_key_missing: { status: 500, exit: 1, title: 'The root key is not there.', next: 'Put the key file back where it was, or unlock with the passphrase.' },
  root_key_unsafe: { status: 500, exit: 1, title: 'The root key file can be read by others.', next: 'Make it readable for its owner alone: chmod 600.' },
  root_key_wrong: { status: 500, exit: 1, title: 'The root key does not open this vault.', next: 'Use the key that belongs to this home.' },
  slots_full: { status: 409, exit: 1, title: 'Two root keys open this vault already.', next: 'Retire one of them first.' },
  slot_last: { status: 409, exit: 1, title: 'The last root key cannot be retired.', next: 'Add another root key first.' },
  vault_damaged: { status: 500, exit: 1, title: 'A sealed value does not open.', next: 'Restore from a backup; the value was changed or belongs to another record.' },
  home_in_use: { status: 409, exit: 1, title: 'Another Keyward serves this home.', next: 'Use that one, or stop it first.' },
  home_unsafe: { status: 500, exit: 1, title: 'The home folder can be read by others.', next: 'Make it accessible for its owner alone: chmod 700.' },
  port_in_use: { status: 500, exit: 1, title: 'The address is in use.', next: 'Choose another with --gateway HOST:PORT (`npm start -- --gateway HOST:PORT` in a clone), or stop what listens there.' },
  // What people type
  usage: { status: 400, exit: 2, title: 'The command cannot be understood.', next: 'Add --help.' },
  config_invalid: { status: 400, exit: 2, title: 'The configuration is not valid.', next: 'Correct the named setting.' },
  file_invalid: { status: 400, exit: 2, title: 'The file is not valid.', next: 'Correct the named place.' },
  not_found: { status: 404, exit: 1, title: 'There is nothing of that name.', next: 'List what exists with the `list` command of the same noun.' },
  already_exists: { status: 409, exit: 1, title: 'The name is taken in this environment.', next: 'Choose another name, or change the existing one with `set`.' },
  still_in_use: { status: 409, exit: 1, title: 'Something else still refers to it.', next: 'Remove what refers to it first.' },
  secret_reused: { status: 409, exit: 1, title: 'The same secret already stands in another environment.', next: 'Make a key of its own for each environment at the vendor.' },
  secret_invalid: { status: 400, exit: 1, title: 'The value cannot be a secret of this service.', next: 'Give it without line breaks or control characters, and not empty.' },
  confirmation_required: { status: 403, exit: 1, title: 'This needs a person at a terminal.', next: 'Run it on a terminal and confirm.' },
  server_unreachable: { status: 503, exit: 3, title: 'No Keyward server answers.', next: 'Start one with `keyward up`.' },
  adoption_required: { status: 403, exit: 1, title: 'The vault holds no credential for this program yet.', next: 'Run again with --adopt, or add one with `keyward credential add`.' },
  containment_unavailable: { status: 500, exit: 1, title: 'This machine does not allow the containment that was asked for.', next: '`keyward doctor` says what is missing; `--contain none` runs without a boundary.' },
  internal: { status: 500, exit: 1, title: 'Keyward met an error of its own.', next: 'Please report it with the reference; the reference leads to the log entry.' },
} as const satisfies Record<string, ErrorRow>
