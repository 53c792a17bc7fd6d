import { CAME_BACK_MAXIMUM } from '../src/vault/backup/came-back.ts'
import { BACKUP_CHUNK_MAXIMUM_BYTES, BACKUP_PARTS_MAXIMUM } from '../src/vault/backup/container.ts'
import { BACKUP_MANIFEST_MAXIMUM_BYTES } from '../src/vault/backup/contents.ts'
import { BACKUPS_AT_ONCE_MAXIMUM } from '../src/vault/backup/make.ts'
import { BACKUP_RECORDS_MAXIMUM_BYTES, BACKUP_ROW_MAXIMUM_BYTES } from '../src/vault/backup/rows.ts'
import {
  BACKUP_HEADER_MAXIMUM_BYTES,
  BACKUP_RECIPIENTS_MAXIMUM,
  BACKUP_WORK_MAXIMUM,
} from '../src/vault/backup/sealed.ts'
import { MIN_SECRET_BYTES, MAX_FIELD_BYTES } from '../src/vault/secret-rules.ts'
import { VERSIONS_SEARCHED_FOR } from '../src/vault/credentials.ts'
import {
  CONDITION_LIST_MAXIMUM,
  CONDITION_MAXIMUM_DEPTH,
  CONDITION_MAXIMUM_LENGTH,
  CONDITION_MAXIMUM_NODES,
  CONDITION_MAXIMUM_STEPS,
  CONDITION_SOUGHT_MAXIMUM_LENGTH,
} from '../src/core/condition-language.ts'
import { CALL_NAME_MAXIMUM_LENGTH } from '../src/core/call-pattern.ts'
import { JSON_MAXIMUM_DEPTH, JSON_MAXIMUM_MEMBERS } from '../src/core/strict-json.ts'
import { LONGEST_TARGET } from '../src/core/canonical-target.ts'
import { maximumPatternsPerGrant } from '../src/core/policy.ts'
import { JUNK_MAXIMUM_BYTES } from '../src/core/part-chains.ts'
import { PACKED_MAXIMUM_BYTES } from '../src/core/packed-text.ts'
import { UNPACKED_ALWAYS_BYTES, UNPACKED_RATIO_MAXIMUM } from '../src/core/packed.ts'
import { WATCHED_REPORTS_MAXIMUM } from '../src/core/placeholder-watch.ts'
import { RARE_FORMS_VALUES_MAXIMUM } from '../src/core/squeezed-index.ts'
import { GAP_MAXIMUM_BYTES, PLACE_MAXIMUM_BYTES } from '../src/core/squeezed-view.ts'
import {
  APPROVAL_BODIES_MAXIMUM_BYTES,
  APPROVAL_BODIES_SESSION_MAXIMUM_BYTES,
  APPROVAL_LIFE_MILLISECONDS,
  APPROVAL_WAIT_MILLISECONDS,
  APPROVALS_AGENT_MAXIMUM,
  APPROVALS_MAXIMUM,
  APPROVALS_SESSION_MAXIMUM,
} from '../src/gateway/approval/approvals.ts'
import { APPROVAL_EXCERPT_CHARACTERS } from '../src/gateway/approval/facts.ts'
import { REFUSED_AGENT_MAXIMUM, REFUSED_MAXIMUM } from '../src/gateway/approval/refused.ts'
import { APPROVAL_FACTS_MAXIMUM_CHARACTERS, APPROVAL_PUBLISH_MILLISECONDS } from '../src/gateway/approval/shared.ts'
import { GRPC_END_MILLISECONDS } from '../src/gateway/approval/single-message.ts'
import { WHOLE_BODY_BYTES } from '../src/gateway/answer.ts'
import { LAYERS_MAXIMUM } from '../src/gateway/codings.ts'
import { BODY_TIMEOUT_MILLISECONDS, CONNECTIONS_MAXIMUM, HEADERS_TIMEOUT_MILLISECONDS } from '../src/gateway/dial.ts'
import { CONNECT_TIMEOUT_MILLISECONDS } from '../src/gateway/connect.ts'
import { TRAILERS_MAXIMUM_BYTES } from '../src/gateway/http1/chunked.ts'
import { INTERIM_MAXIMUM_COUNT } from '../src/gateway/http1/client.ts'
import { HEAD_MAXIMUM_BYTES } from '../src/gateway/http1/head.ts'
import { AHEAD_MAXIMUM_BYTES, REQUEST_HEAD_MILLISECONDS, SILENCE_MILLISECONDS } from '../src/gateway/http1/server.ts'
import { COMPRESSED_MESSAGE_MAXIMUM_BYTES } from '../src/gateway/grpc/messages.ts'
import { STREAMS_BEFORE_SETTINGS_MAXIMUM_COUNT, UPSTREAM_STREAMS_MAXIMUM_COUNT } from '../src/gateway/http2/client.ts'
import {
  CONTINUATIONS_MAXIMUM_COUNT,
  HEADER_BLOCK_MAXIMUM_BYTES,
  IDLE_FRAMES_MAXIMUM_COUNT,
  IDLE_FRAMES_PER_SECOND,
  RESETS_MAXIMUM_COUNT,
  RESETS_PER_SECOND,
} from '../src/gateway/http2/flood.ts'
import { SESSION_IDLE_MILLISECONDS, SESSIONS_MAXIMUM_COUNT } from '../src/gateway/http2/pool.ts'
import {
  INVALID_FRAMES_MAXIMUM_COUNT,
  REJECTED_STREAMS_MAXIMUM_COUNT,
  SESSION_MEMORY_MAXIMUM_MEBIBYTES,
  STREAM_WINDOW_BYTES,
  STREAMS_MAXIMUM_COUNT,
} from '../src/gateway/http2/server.ts'
import { ADDRESSES_MAXIMUM } from '../src/gateway/egress.ts'
import { INFLIGHT_MAXIMUM, SESSION_INFLIGHT_MAXIMUM } from '../src/gateway/inflight.ts'
import { SOCKETS_MAXIMUM } from '../src/gateway/listener.ts'
import { RECORDED_PATH_CHARACTERS } from '../src/gateway/record.ts'
import { REFUSALS_LIMIT } from '../src/gateway/refusal-limits.ts'
import { WHOLE_REQUEST_BYTES, WHOLE_REQUEST_MILLISECONDS } from '../src/gateway/body.ts'
import { PARAMETER_NAME_MAXIMUM_BYTES } from '../src/gateway/form-method.ts'
import { EVENT_PLACES_MAXIMUM } from '../src/gateway/event-texts.ts'
import { EVENT_LINE_MAXIMUM_BYTES, EVENTS_HELD_MAXIMUM_BYTES } from '../src/gateway/joined-events.ts'
import { JOINED_LETTERS_MAXIMUM } from '../src/core/joined-letters.ts'
import {
  DOCUMENT_MAXIMUM_DEPTH,
  DOCUMENT_TOKENS_MAXIMUM_COUNT,
  DOCUMENTS_MAXIMUM_LENGTH,
} from '../src/gateway/meaning/graphql.ts'
import { RECORDED_CALLS_CHARACTERS } from '../src/gateway/meaning/read.ts'
import { CALLS_MAXIMUM_COUNT } from '../src/gateway/meaning/tally.ts'
import {
  BODY_FIRST_MAXIMUM_BYTES,
  BODY_FIRST_SESSION_MAXIMUM_BYTES,
  BODY_FIRST_TOTAL_MAXIMUM_BYTES,
  BODY_FIRST_UNKNOWN_MAXIMUM_BYTES,
} from '../src/gateway/whole-body.ts'
import { PART_HEADERS_MAXIMUM_BYTES } from '../src/gateway/part-names.ts'
import { HEADERS_MAXIMUM } from '../src/gateway/request-headers.ts'
import {
  UNDECLARED_HELD_MAXIMUM_BYTES,
  UNDECLARED_LAG_BYTES,
  UNDECLARED_LAYERS_MAXIMUM,
  UNFOLDED_ALWAYS_BYTES,
  UNFOLDED_RATIO_MAXIMUM,
} from '../src/gateway/undeclared.ts'
import { HELLO_TIMEOUT_MILLISECONDS, TUNNEL_IDLE_MILLISECONDS } from '../src/gateway/tunnel.ts'
import { LOOK_DESCRIPTORS_MAXIMUM, LOOK_PROCESSES_MAXIMUM } from '../src/identity/socket-owners.ts'
import {
  WEBSOCKET_CHECK_MILLISECONDS,
  WEBSOCKET_CLOSE_MILLISECONDS,
  WEBSOCKET_IDLE_MILLISECONDS,
} from '../src/gateway/websocket/carry.ts'
import { FRAME_MAXIMUM_BYTES } from '../src/gateway/websocket/frames.ts'
import { SUBPROTOCOLS_MAXIMUM_CHARACTERS, SUBPROTOCOLS_MAXIMUM_COUNT } from '../src/gateway/websocket/handshake.ts'
import { FRAME_SWAP_MAXIMUM_BYTES, FRAME_SWAP_MAXIMUM_MESSAGES } from '../src/gateway/websocket/swap.ts'
import { SIGNATURE_AGE_MAXIMUM_MILLISECONDS } from '../src/injectors/sigv4.ts'
import { DATABASE_URL_CHARACTERS_MAXIMUM } from '../src/stores/postgres-address.ts'
import {
  AUTHORITY_MAXIMUM_BYTES,
  DATABASE_CONNECTIONS_MAXIMUM,
  postgresTimeouts,
} from '../src/stores/postgres-connections.ts'
import { TAKE_OVER_MILLISECONDS } from '../src/stores/postgres-hold.ts'
import { FOLLOW_MILLISECONDS, LEASE_MILLISECONDS } from '../src/vault/follow.ts'
import { COMMIT_ATTEMPTS_MAXIMUM } from '../src/vault/records.ts'
import { maximumSettingsFileCharacters } from '../src/config.ts'
import { maximumPolicyChanges } from '../src/identity/policy-files/changes.ts'
import {
  maximumDocumentCharacters,
  maximumPolicyCharacters,
  maximumPolicyDocuments,
  maximumPolicyFiles,
  maximumPolicyProblems,
} from '../src/identity/policy-files/documents.ts'
import { CAVEAT_TEXTS_MAXIMUM, CAVEAT_USES_MAXIMUM, CAVEATS_MAXIMUM, NARROWINGS_MAXIMUM } from '../src/core/caveats.ts'
import {
  CLAIM_PATTERN_MAXIMUM_CHARACTERS,
  CLAIM_VALUE_MAXIMUM_CHARACTERS,
  TRUST_CLAIMS_MAXIMUM,
} from '../src/core/claim-pattern.ts'
import { ISSUER_DOCUMENT_MAXIMUM_BYTES, ISSUER_FETCH_MILLISECONDS } from '../src/gateway/fetch-json.ts'
import { PROOF_WINDOW_SECONDS, PROOFS_MAXIMUM, SESSION_PROOFS_MAXIMUM } from '../src/identity/dpop.ts'
import {
  KEY_SETS_MAXIMUM,
  KEYS_ASKED_MILLISECONDS,
  KEYS_FRESH_MILLISECONDS,
  KEYS_STALE_MILLISECONDS,
} from '../src/identity/issuer-keys.ts'
import { JWT_SKEW_SECONDS, ONE_USE_JWT_SECONDS } from '../src/identity/jwt.ts'
import { JWT_MAXIMUM_CHARACTERS, KEYS_MAXIMUM, PROOF_MAXIMUM_CHARACTERS } from '../src/identity/login-bounds.ts'
import { AGENT_ENROLMENTS_MAXIMUM, ENROLMENTS_MAXIMUM } from '../src/identity/machine-logins.ts'
import { AGENT_TRUSTS_MAXIMUM, TRUSTS_MAXIMUM } from '../src/identity/trusts.ts'
import { NARROWED_TOKEN_MAXIMUM_CHARACTERS } from '../src/core/narrowed-token.ts'
import {
  NARROWING_RECORDS_MAXIMUM,
  NARROWINGS_PER_SESSION_MAXIMUM,
  USES_PER_COMMIT_MAXIMUM,
  VERIFIED_TOKENS_MAXIMUM,
  WAITING_USES_MAXIMUM,
} from '../src/identity/narrowings.ts'
import { maximumLiveSessions, maximumPlaceholdersPerSession } from '../src/identity/session-state.ts'

/** What an outsider could make grow, and where it ends: read from the code, so that the page cannot say something else. */
export function limitsPage(): string {
  const seconds = (milliseconds: number): string => `${milliseconds / 1000} s`
  const kibibytes = (bytes: number): string => `${bytes / 1024} KiB`
  const rows: readonly (readonly [what: string, limit: string, beyond: string])[] = [
    ['request target', kibibytes(LONGEST_TARGET), '`request_malformed`'],
    ['headers of a request', `${HEADERS_MAXIMUM}, ${kibibytes(HEAD_MAXIMUM_BYTES)}`, '`request_too_large`'],
    ['time for the headers of a request', seconds(REQUEST_HEAD_MILLISECONDS), '`request_timeout`'],
    ['what arrives on a connection before it is wanted', kibibytes(AHEAD_MAXIMUM_BYTES), 'not read'],
    ['trailers of a body', kibibytes(TRAILERS_MAXIMUM_BYTES), '`request_malformed`, `upstream_broken`'],
    ['interim answers before an answer', String(INTERIM_MAXIMUM_COUNT), '`upstream_broken`'],
    ['a body that is sent in one piece', kibibytes(WHOLE_REQUEST_BYTES), 'streams'],
    [
      'a body that holds the credential or says what is done, and so is read first; room for those of one session at once; of all; of those whose session only the body tells',
      `${kibibytes(BODY_FIRST_MAXIMUM_BYTES)}; ${kibibytes(BODY_FIRST_SESSION_MAXIMUM_BYTES)}; ${kibibytes(BODY_FIRST_TOTAL_MAXIMUM_BYTES)}; ${kibibytes(BODY_FIRST_UNKNOWN_MAXIMUM_BYTES)}`,
      '`request_too_large`; `overloaded`',
    ],
    [
      'time for a body that is read whole, of whatever length',
      seconds(WHOLE_REQUEST_MILLISECONDS),
      '`request_timeout`',
    ],
    [
      'time that a request is held while a person is asked (KEYWARD_APPROVAL_WAIT: up to 600 s)',
      seconds(APPROVAL_WAIT_MILLISECONDS),
      '`approval_required`',
    ],
    [
      'time in which a question about a request can be answered, and the answer used',
      seconds(APPROVAL_LIFE_MILLISECONDS),
      '`approval_expired`; a person is asked anew',
    ],
    [
      'time until other nodes of a shared store may see a question; characters of what they are shown',
      `${seconds(APPROVAL_PUBLISH_MILLISECONDS)}; ${APPROVAL_FACTS_MAXIMUM_CHARACTERS}`,
      'it is answered where it is held',
    ],
    [
      'refusals by a person that are remembered: of one agent; of all',
      `${REFUSED_AGENT_MAXIMUM}; ${REFUSED_MAXIMUM}`,
      'the oldest of whoever has most are forgotten',
    ],
    [
      'requests about which a person is asked or was, and that did not go out: of one session; of one agent; of all',
      `${APPROVALS_SESSION_MAXIMUM}; ${APPROVALS_AGENT_MAXIMUM}; ${APPROVALS_MAXIMUM}`,
      '`approvals_full`',
    ],
    [
      'bodies of requests that are held meanwhile: of one session; of all',
      `${kibibytes(APPROVAL_BODIES_SESSION_MAXIMUM_BYTES)}; ${kibibytes(APPROVAL_BODIES_MAXIMUM_BYTES)}`,
      '`approvals_full`',
    ],
    [
      'characters of a body, a target and the names of operations that a person is shown',
      String(APPROVAL_EXCERPT_CHARACTERS),
      'shown in part',
    ],
    [
      'time from the message of a gRPC call to its end, where a person is asked',
      seconds(GRPC_END_MILLISECONDS),
      '`approval_streamed`',
    ],
    ['age of a signature, either way', seconds(SIGNATURE_AGE_MAXIMUM_MILLISECONDS), '`signature_expired`'],
    ['length of any other body, either way', 'none: it streams', ''],
    [
      'calls of one request; objects and lists of such a body within each other; with their members',
      `${CALLS_MAXIMUM_COUNT}; ${JSON_MAXIMUM_DEPTH}; ${JSON_MAXIMUM_MEMBERS}`,
      '`operation_unreadable`',
    ],
    [
      'GraphQL documents of one request; tokens of one; braces within each other',
      `${kibibytes(DOCUMENTS_MAXIMUM_LENGTH)}; ${DOCUMENT_TOKENS_MAXIMUM_COUNT}; ${DOCUMENT_MAXIMUM_DEPTH}`,
      '`operation_unreadable`',
    ],
    ['characters of the name of a field, method or tool', String(CALL_NAME_MAXIMUM_LENGTH), '`operation_unreadable`'],
    [
      'characters of the names of the calls of one request',
      String(RECORDED_CALLS_CHARACTERS),
      '`operation_unreadable`',
    ],
    ['headers of an answer', kibibytes(HEAD_MAXIMUM_BYTES), '`upstream_broken`'],
    ['an answer that is sent with its length', kibibytes(WHOLE_BODY_BYTES), 'sent in chunks'],
    ['content codings over each other', String(LAYERS_MAXIMUM), '`answer_withheld`'],
    [
      'a line of a stream of events whose texts are joined; events that wait',
      `${kibibytes(EVENT_LINE_MAXIMUM_BYTES)}; ${kibibytes(EVENTS_HELD_MAXIMUM_BYTES)}`,
      'passed without being joined; answer broken off',
    ],
    [
      'places in events whose texts are joined; letters of each that are remembered',
      `${EVENT_PLACES_MAXIMUM}; ${JOINED_LETTERS_MAXIMUM}`,
      'forgotten',
    ],
    ['name of a form parameter that is read', `${PARAMETER_NAME_MAXIMUM_BYTES} B`, 'another name'],
    ['headers of one part of a body of several', kibibytes(PART_HEADERS_MAXIMUM_BYTES), '`request_malformed`'],
    [
      'layers of an answer that is compressed without saying so',
      String(UNDECLARED_LAYERS_MAXIMUM),
      'passed as they are',
    ],
    [
      'bytes of such an answer that stay behind until they are judged; at most',
      `${kibibytes(UNDECLARED_LAG_BYTES)}; ${kibibytes(UNDECLARED_HELD_MAXIMUM_BYTES)}`,
      '`answer_withheld`',
    ],
    [
      'what such an answer may unfold to',
      `${kibibytes(UNFOLDED_ALWAYS_BYTES)} and ${UNFOLDED_RATIO_MAXIMUM} times its length`,
      '`answer_withheld`',
    ],
    ['time to connect to a service', seconds(CONNECT_TIMEOUT_MILLISECONDS), '`upstream_timeout`'],
    ['time until a service begins to answer', seconds(HEADERS_TIMEOUT_MILLISECONDS), '`upstream_timeout`'],
    ['silence within an answer', seconds(BODY_TIMEOUT_MILLISECONDS), 'answer broken off'],
    [
      'silence on a connection; on a passing tunnel',
      `${seconds(SILENCE_MILLISECONDS)}; ${seconds(TUNNEL_IDLE_MILLISECONDS)}`,
      'connection closed',
    ],
    ['time for the first bytes of a passing tunnel', seconds(HELLO_TIMEOUT_MILLISECONDS), 'connection closed'],
    ['silence on a WebSocket', seconds(WEBSOCKET_IDLE_MILLISECONDS), '`websocket_idle`'],
    ['time until an open WebSocket is looked at again', seconds(WEBSOCKET_CHECK_MILLISECONDS), ''],
    ['time for the answer to a Close frame', seconds(WEBSOCKET_CLOSE_MILLISECONDS), 'connection closed'],
    ['length of a WebSocket message', 'none: it streams', ''],
    ['length that a WebSocket frame may announce', `${FRAME_MAXIMUM_BYTES / 2 ** 40} TiB`, '`frame_refused`'],
    [
      'WebSocket messages looked at for placeholders',
      `the first ${FRAME_SWAP_MAXIMUM_MESSAGES}, up to ${kibibytes(FRAME_SWAP_MAXIMUM_BYTES)}`,
      'passed as they are',
    ],
    [
      'WebSocket subprotocols that a client offers',
      `${SUBPROTOCOLS_MAXIMUM_COUNT}, ${kibibytes(SUBPROTOCOLS_MAXIMUM_CHARACTERS)}`,
      '`request_too_large`',
    ],
    ['connections to the gateway', String(SOCKETS_MAXIMUM), 'connection closed'],
    [
      'requests and tunnels at once; of one session',
      `${INFLIGHT_MAXIMUM}; ${SESSION_INFLIGHT_MAXIMUM}`,
      '`overloaded`',
    ],
    [
      'HTTP/2: requests at once on one connection',
      String(STREAMS_MAXIMUM_COUNT),
      '`overloaded`, the stream is refused',
    ],
    [
      'HTTP/2: a block of headers, compressed; its CONTINUATION frames',
      `${kibibytes(HEADER_BLOCK_MAXIMUM_BYTES)}; ${CONTINUATIONS_MAXIMUM_COUNT}`,
      '`request_too_large`, connection closed',
    ],
    [
      'HTTP/2: streams taken back on one connection',
      `${RESETS_MAXIMUM_COUNT} at once, ${RESETS_PER_SECOND} a second`,
      '`connection_flooded`',
    ],
    [
      'HTTP/2: frames that carry nothing',
      `${IDLE_FRAMES_MAXIMUM_COUNT} at once, ${IDLE_FRAMES_PER_SECOND} a second`,
      '`connection_flooded`',
    ],
    [
      'HTTP/2: invalid frames; streams beyond the bound',
      `${INVALID_FRAMES_MAXIMUM_COUNT}; ${REJECTED_STREAMS_MAXIMUM_COUNT}`,
      'connection closed',
    ],
    [
      'HTTP/2: bytes of one body that wait for their reader; what a connection keeps',
      `${kibibytes(STREAM_WINDOW_BYTES)}; ${SESSION_MEMORY_MAXIMUM_MEBIBYTES} MiB`,
      'not read; streams refused',
    ],
    [
      'HTTP/2: streams on one connection to a service; before it has named its bound',
      `${UPSTREAM_STREAMS_MAXIMUM_COUNT}; ${STREAMS_BEFORE_SETTINGS_MAXIMUM_COUNT}`,
      'another connection',
    ],
    [
      'HTTP/2: connections to one service; each without a stream',
      `${SESSIONS_MAXIMUM_COUNT}; ${seconds(SESSION_IDLE_MILLISECONDS)}`,
      'requests wait; connection closed',
    ],
    ['a compressed gRPC message, before and after', kibibytes(COMPRESSED_MESSAGE_MAXIMUM_BYTES), '`answer_withheld`'],
    ['connections to one service', String(CONNECTIONS_MAXIMUM), 'requests wait'],
    ['addresses of one name', String(ADDRESSES_MAXIMUM), '`host_refused`'],
    [
      'refusals written down for one session, or for all strangers',
      `${REFUSALS_LIMIT.count} in ${REFUSALS_LIMIT.perSeconds} s`,
      '`too_many_attempts`',
    ],
    ['characters of a path in the journal', String(RECORDED_PATH_CHARACTERS), 'cut, with its length'],
    [
      'processes and descriptors looked at to tell who calls',
      `${LOOK_PROCESSES_MAXIMUM}; ${LOOK_DESCRIPTORS_MAXIMUM}`,
      '`session_elsewhere`',
    ],
    ['live sessions; placeholders of one', `${maximumLiveSessions}; ${maximumPlaceholdersPerSession}`, '`overloaded`'],
    [
      'a narrowed token: characters; caveats; narrowings in a row; texts of one caveat; uses of one',
      `${NARROWED_TOKEN_MAXIMUM_CHARACTERS}; ${CAVEATS_MAXIMUM}; ${NARROWINGS_MAXIMUM}; ${CAVEAT_TEXTS_MAXIMUM}; ${CAVEAT_USES_MAXIMUM}`,
      '`usage`; `token_invalid`',
    ],
    [
      'narrowings on record, of one session; of all',
      `${NARROWINGS_PER_SESSION_MAXIMUM}; ${NARROWING_RECORDS_MAXIMUM}`,
      '`overloaded`',
    ],
    [
      'uses that wait to be written down; written in one commit',
      `${WAITING_USES_MAXIMUM}; ${USES_PER_COMMIT_MAXIMUM}`,
      '`overloaded`; the next commit',
    ],
    [
      'a token of an issuer: characters; clocks apart; life, where it is good once',
      `${JWT_MAXIMUM_CHARACTERS}; ${JWT_SKEW_SECONDS} s; ${ONE_USE_JWT_SECONDS} s`,
      '`jwt_invalid`; `jwt_expired`, `jwt_early`',
    ],
    [
      'keys of an issuer; asked for at most every; used without asking; while it is away; issuers remembered',
      `${KEYS_MAXIMUM}; ${seconds(KEYS_ASKED_MILLISECONDS)}; ${seconds(KEYS_FRESH_MILLISECONDS)}; ${seconds(KEYS_STALE_MILLISECONDS)}; ${KEY_SETS_MAXIMUM}`,
      '`issuer_unreachable`',
    ],
    [
      'a document of an issuer; until it is here',
      `${ISSUER_DOCUMENT_MAXIMUM_BYTES} bytes; ${seconds(ISSUER_FETCH_MILLISECONDS)}`,
      '`issuer_unreachable`',
    ],
    [
      'trusts of one agent; of all; enrolment secrets of one agent that wait; remembered',
      `${AGENT_TRUSTS_MAXIMUM}; ${TRUSTS_MAXIMUM}; ${AGENT_ENROLMENTS_MAXIMUM}; ${ENROLMENTS_MAXIMUM}`,
      '`overloaded`',
    ],
    [
      'claims of a trust; characters of a pattern; of a value',
      `${TRUST_CLAIMS_MAXIMUM}; ${CLAIM_PATTERN_MAXIMUM_CHARACTERS}; ${CLAIM_VALUE_MAXIMUM_CHARACTERS}`,
      '`usage`; `jwt_foreign`',
    ],
    [
      'a proof of a key: characters; how old or early; remembered, of one session; of all',
      `${PROOF_MAXIMUM_CHARACTERS}; ${PROOF_WINDOW_SECONDS} s; ${SESSION_PROOFS_MAXIMUM}; ${PROOFS_MAXIMUM}`,
      '`proof_invalid`; `overloaded`',
    ],
    ['narrowed tokens whose signatures are remembered', `${VERIFIED_TOKENS_MAXIMUM}`, 'they are checked again'],
    [
      'PostgreSQL: connections; until one is made; one statement; its answer',
      `${DATABASE_CONNECTIONS_MAXIMUM}; ${seconds(postgresTimeouts.connectMilliseconds)}; ${seconds(postgresTimeouts.statementMilliseconds)}; ${seconds(postgresTimeouts.answerMilliseconds)}`,
      '`store_unavailable`',
    ],
    [
      'PostgreSQL: how often other nodes’ changes are taken in; how long that is good for',
      `every ${seconds(FOLLOW_MILLISECONDS)}; ${seconds(LEASE_MILLISECONDS)}`,
      '`lease_lost`',
    ],
    [
      'PostgreSQL: how long a start waits for a node of its name to end',
      seconds(TAKE_OVER_MILLISECONDS),
      '`store_in_use`',
    ],
    [
      'PostgreSQL: times that a change is worked out again because others were first',
      String(COMMIT_ATTEMPTS_MAXIMUM),
      '`store_conflict`',
    ],
    [
      'characters of KEYWARD_DATABASE_URL; its file of authorities',
      `${DATABASE_URL_CHARACTERS_MAXIMUM}; ${kibibytes(AUTHORITY_MAXIMUM_BYTES)}`,
      '`config_invalid`',
    ],
    [
      'backups made at the same time; their parts, pieces and manifest',
      `${BACKUPS_AT_ONCE_MAXIMUM}; ${BACKUP_PARTS_MAXIMUM}, ${kibibytes(BACKUP_CHUNK_MAXIMUM_BYTES)}, ${kibibytes(BACKUP_MANIFEST_MAXIMUM_BYTES)}`,
      '`overloaded`; `backup_damaged`',
    ],
    [
      'records in a backup; one of them',
      `${kibibytes(BACKUP_RECORDS_MAXIMUM_BYTES)}; ${kibibytes(BACKUP_ROW_MAXIMUM_BYTES)}`,
      '`backup_damaged`',
    ],
    [
      'a backup’s recipients; its head; the work that its passphrase asks for',
      `${BACKUP_RECIPIENTS_MAXIMUM}; ${kibibytes(BACKUP_HEADER_MAXIMUM_BYTES)}; 2^${BACKUP_WORK_MAXIMUM}`,
      '`usage`; `backup_damaged`',
    ],
    ['changes that a restore tells one by one', String(CAME_BACK_MAXIMUM), '"There is more"'],
    ['patterns of one grant', String(maximumPatternsPerGrant), '`usage`'],
    [
      'characters of a condition; its names, values and operators; how deep; elements of a list in it',
      `${CONDITION_MAXIMUM_LENGTH}; ${CONDITION_MAXIMUM_NODES}; ${CONDITION_MAXIMUM_DEPTH}; ${CONDITION_LIST_MAXIMUM}`,
      '`condition_invalid`',
    ],
    [
      'steps of judging a condition once; characters that it looks for within a text',
      `${CONDITION_MAXIMUM_STEPS}; ${CONDITION_SOUGHT_MAXIMUM_LENGTH}`,
      '`condition_not_met`',
    ],
    ['a secret', `${MIN_SECRET_BYTES} bytes to ${kibibytes(MAX_FIELD_BYTES)}`, '`secret_invalid`'],
    [
      'bytes between two letters of a secret; between two parts of one',
      `${GAP_MAXIMUM_BYTES}; ${JUNK_MAXIMUM_BYTES}`,
      'not recognised',
    ],
    ['a secret as it is written; held back of an answer', kibibytes(PLACE_MAXIMUM_BYTES), 'not recognised; passed on'],
    [
      'compressed data in base64; what they unfold to',
      `${kibibytes(PACKED_MAXIMUM_BYTES)}; ${UNPACKED_RATIO_MAXIMUM} times as much, at least ${kibibytes(UNPACKED_ALWAYS_BYTES)}`,
      'replaced unread',
    ],
    [
      'secrets for which rarer combinations of encodings are looked for',
      String(RARE_FORMS_VALUES_MAXIMUM),
      'the common ones are',
    ],
    ['placeholders reported of one stream', String(WATCHED_REPORTS_MAXIMUM), 'more are not'],
    ['versions of a credential that answers are searched for', String(VERSIONS_SEARCHED_FOR), 'older ones are not'],
    [
      'policy files of one run of `apply`; together; documents; characters of one document',
      `${maximumPolicyFiles}; ${maximumPolicyCharacters} characters; ${maximumPolicyDocuments}; ${maximumDocumentCharacters}`,
      '`policy_too_large`',
    ],
    ['rows that one run of `apply` changes', String(maximumPolicyChanges), '`policy_too_large`'],
    ['problems of policy files that are told at once', String(maximumPolicyProblems), 'told in the next run'],
    ['characters of the settings file', String(maximumSettingsFileCharacters), '`config_invalid`'],
  ]
  return `# Limits

Everything that an outsider could make grow ends somewhere. This page is made from the code by \`npm run docs\`.

| what | limit | beyond it |
|---|---|---|
${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}
`
}
