import { randomBytes } from 'node:crypto'
import { NONCE_BYTES, type Caveat } from '../../core/caveats.ts'
import { KeywardError } from '../../core/errors.ts'
import { narrow as narrowToken } from '../../core/narrowed-token.ts'
import { canonicalAddress } from '../../identity/peer.ts'
import type { Call, JsonOption } from '../io.ts'
import { parseCount, parseDuration } from '../measures.ts'
import { note, printJson, printLine } from '../print.ts'
import { readToken } from '../token-source.ts'

interface NarrowOptions extends JsonOption {
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
  readonly credential?: readonly string[]
  readonly ttl?: string
  readonly uses?: string
  readonly from?: string
  readonly fromVariable?: string
}

/** Takes away from a session without a server: prints the narrowed token. */
export async function narrow({ io, options }: Call<NarrowOptions>): Promise<void> {
  const caveats = caveatsOf(options, Date.now())
  const { token, id } = narrowToken(await readToken(io, options.fromVariable), caveats, randomBytes(NONCE_BYTES))
  if (options.json === true) return printJson(io, { id, token })
  printLine(io, token)
  if (io.stderr.isTTY === true)
    note(io, `Narrowing ${id}; keyward session revoke ${id} ends it and all that come from it.`)
}

/** What counts hangs on the last of them, so that the narrowing has one id. */
function caveatsOf(options: NarrowOptions, now: number): Exclude<Caveat, { kind: 'narrowing' }>[] {
  const { allow, deny, credential, ttl, uses, from } = options
  return [
    ...(allow === undefined ? [] : [{ kind: 'allow', patterns: allow } as const]),
    ...(deny === undefined ? [] : [{ kind: 'deny', patterns: deny } as const]),
    ...(credential === undefined ? [] : [{ kind: 'credentials', names: credential } as const]),
    ...(from === undefined ? [] : [{ kind: 'address', address: addressOf(from) } as const]),
    ...(ttl === undefined ? [] : [{ kind: 'expires', at: now + parseDuration(ttl) * 1000 } as const]),
    ...(uses === undefined ? [] : [{ kind: 'uses', count: parseCount(uses) } as const]),
  ]
}

function addressOf(text: string): string {
  const address = canonicalAddress(text)
  if (address === null) throw new KeywardError('usage', '--from takes one IPv4 or IPv6 address.')
  return address
}
