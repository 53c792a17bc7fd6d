import { isCallName, TOOL_CALL, type Calls } from '../../core/call-pattern.ts'
import { looksLike, membersOf, readStrictJson } from '../../core/strict-json.ts'
import { isFault, Tally, tooManyCalls, type Fault } from './tally.ts'

const MEMBERS = ['jsonrpc', 'method', 'params', 'id']
/** Parameters from which a service could take a call that the body does not show; `_json` is where Rails puts a list. */
const CALLING: ReadonlySet<string> = new Set(['jsonrpc', 'method', 'params', '_json'])

/** The calls of a body (JSON-RPC 2.0): one message, or a batch of them. */
export function callsOfRpcBody(bytes: Uint8Array): Calls | Fault {
  const json = readStrictJson(bytes)
  if (isFault(json)) return json
  const messages: readonly unknown[] = Array.isArray(json.value) ? json.value : [json.value]
  if (messages.length === 0) return { fault: 'The batch is empty.' }
  const tally = new Tally()
  for (const message of messages) {
    const call = callOf(message)
    if (typeof call !== 'string') return call
    if (!tally.make(call)) return tooManyCalls
  }
  return tally
}

/** Whether a query could carry a call, or change the one in the body. */
export function rpcParametersFault(parameters: readonly (readonly [string, string])[]): Fault | null {
  const calling = parameters.some(([name]) => CALLING.has((name.split(/[.[]/)[0] ?? '').trim().toLowerCase()))
  return calling ? { fault: 'The query names what a call is made of.' } : null
}

function callOf(message: unknown): string | Fault {
  const members = membersOf(message)
  if (members === null) return { fault: 'A message is no object.' }
  if (isLookedLike(members, MEMBERS)) return { fault: 'A message has a member that looks like another.' }
  if (members.get('jsonrpc') !== '2.0') return { fault: 'A message is not JSON-RPC 2.0.' }
  const id = members.get('id') ?? null
  if (id !== null && typeof id !== 'string' && typeof id !== 'number')
    return { fault: 'The id of a message is neither text nor number.' }
  const method = members.get('method')
  if (typeof method !== 'string') return { fault: 'A message calls no method.' }
  if (!isCallName(method)) return { fault: 'The name of a method holds more than visible ASCII, or is too long.' }
  const params = members.get('params')
  const named = membersOf(params)
  if (params !== undefined && named === null && !Array.isArray(params))
    return { fault: 'The params of a message are neither object nor list.' }
  // A service that does not mind letter case calls a tool here, too.
  if (method.toLowerCase() !== TOOL_CALL) return `RPC ${method}`
  const tool = named?.get('name')
  if (typeof tool !== 'string' || named === null || isLookedLike(named, ['name']))
    return { fault: 'The tool that is called has not one name.' }
  return isCallName(tool)
    ? `RPC ${method} ${tool}`
    : { fault: 'The name of a tool holds more than visible ASCII, or is too long.' }
}

function isLookedLike(members: ReadonlyMap<string, unknown>, names: readonly string[]): boolean {
  return [...members.keys()].some((name) => names.some((known) => looksLike(name, known)))
}
