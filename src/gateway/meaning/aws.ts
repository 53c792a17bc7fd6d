import { headerValues, pathOf, type RequestHead } from '../../core/request.ts'
import { looksLike } from '../../core/strict-json.ts'
import { parametersOf } from './parameters.ts'
import { isFault, Tally, type Fault } from './tally.ts'

/**
 * The action of a request to Amazon Web Services, which stands in one of four places: the header X-Amz-Target (Smithy,
 * AWS JSON 1.0 and 1.1), the path (Smithy, RPC v2), the parameter Action of the query, or that of a form (AWS query and
 * EC2 query protocols). A request that has it in more than one of them, or twice in one, is not judged: which of them
 * counts, the service would decide.
 */
const TARGET = 'x-amz-target'
const PROTOCOL = 'smithy-protocol'
const ACTION = 'Action'
/** What decides which action is meant, beside its name. */
const DECIDING = [ACTION, 'Version']
const TARGET_FORM = /^[A-Za-z0-9_.]{1,128}\.([A-Za-z][A-Za-z0-9]{0,127})$/
const PATH_FORM = /^\/service\/[A-Za-z][A-Za-z0-9_.]{0,127}\/operation\/([A-Za-z][A-Za-z0-9]{0,127})$/
const ACTION_FORM = /^[A-Za-z][A-Za-z0-9]{0,127}$/
const FORM_TYPE = /^\s*application\/x-www-form-urlencoded\s*(?:;\s*charset\s*=\s*(?:utf-8|"utf-8")\s*)?;?\s*$/i
/** Of a body that is no form, and is not taken for one. */
const TARGET_TYPE = /^\s*application\/(?:x-amz-json-1\.[01]|json)\s*;?\s*$/i
const PROTOCOL_TYPE = /^\s*application\/(?:cbor|json)\s*;?\s*$/i
/** The name of the service in what a request is signed for: it is verified, and signed again, so it is what the service sees. */
const SCOPE = /^AWS4-HMAC-SHA256 +Credential=[^/,\s]+\/\d{8}\/[a-z0-9-]+\/([a-z0-9-]{1,64})\/aws4_request *,/

/** Whether the body has to be read before it is known what is asked for. */
export function isAwsForm(head: RequestHead): boolean {
  return FORM_TYPE.test(typeOf(head))
}

/** `body`: all of it where it is a form, or where it may be none; null where it is neither. */
export function callsOfAws(
  head: RequestHead,
  parameters: readonly (readonly [string, string])[],
  body: Uint8Array | null,
): Tally | Fault {
  const service = SCOPE.exec(headerValues(head.headers, 'authorization')[0] ?? '')?.[1]
  if (service === undefined) return { fault: 'It is not signed for a service.' }
  if (head.headers.some(([name]) => name !== TARGET && name.replaceAll('_', '-') === TARGET))
    return { fault: 'A header looks like X-Amz-Target.' }
  const form = isAwsForm(head) ? readForm(body ?? new Uint8Array(0)) : []
  if (isFault(form)) return form
  const named = [inTarget(head), inPath(head), inParameters(parameters), inParameters(form)]
  const fault = named.find((one) => one !== null && isFault(one))
  if (fault !== undefined && fault !== null && isFault(fault)) return fault
  const actions = named.flatMap((one) => (one === null || isFault(one) ? [] : [one.action]))
  const [action] = actions
  if (action === undefined) return { fault: 'It names no action.' }
  if (actions.length > 1) return { fault: 'It names its action in more than one place.' }
  // The action stands in the query: then there is nothing else, or a form without one.
  if (named[2] !== null && !isAwsForm(head) && (body === null || body.byteLength > 0))
    return { fault: 'A body that is no form stands beside an action in the query.' }
  const tally = new Tally()
  tally.make(`AWS ${service}:${action}`)
  return tally
}

type Named = { readonly action: string } | Fault | null

function inTarget(head: RequestHead): Named {
  const targets = headerValues(head.headers, TARGET)
  const [target] = targets
  if (target === undefined) return null
  const action = TARGET_FORM.exec(target)?.[1]
  if (targets.length > 1 || action === undefined) return { fault: 'X-Amz-Target does not name one action.' }
  return TARGET_TYPE.test(typeOf(head)) ? { action } : { fault: 'The body is not declared as JSON of AWS.' }
}

function inPath(head: RequestHead): Named {
  const protocols = headerValues(head.headers, PROTOCOL)
  const action = PATH_FORM.exec(pathOf(head.target))?.[1]
  if (protocols.length === 0 && action === undefined) return null
  const [protocol = ''] = protocols
  if (protocols.length !== 1 || action === undefined || !/^rpc-v2-(?:cbor|json)$/.test(protocol))
    return { fault: 'Path and smithy-protocol do not name one action.' }
  const type = typeOf(head)
  return type === '' || PROTOCOL_TYPE.test(type) ? { action } : { fault: 'The body is not of its protocol.' }
}

function inParameters(parameters: readonly (readonly [string, string])[]): Named {
  for (const known of DECIDING)
    if (parameters.some(([name]) => looksLike(name, known))) return { fault: `A parameter looks like ${known}.` }
  for (const known of DECIDING)
    if (parameters.filter(([name]) => name === known).length > 1) return { fault: `${known} stands twice.` }
  const action = parameters.find(([name]) => name === ACTION)?.[1]
  if (action === undefined) return null
  return ACTION_FORM.test(action) ? { action } : { fault: 'Action is not the name of one.' }
}

function readForm(bytes: Uint8Array): readonly (readonly [string, string])[] | Fault {
  const text = Buffer.from(bytes).toString('latin1')
  return /^[!-~]*$/.test(text) ? parametersOf(`?${text}`) : { fault: 'The form holds more than visible ASCII.' }
}

function typeOf(head: RequestHead): string {
  return headerValues(head.headers, 'content-type')[0] ?? ''
}
