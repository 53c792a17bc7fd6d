import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import { frame } from '../framing.ts'
import { ask, readTokenFile, ROOT_KEY_TOKEN_MAXIMUM_BYTES } from './ask.ts'
import type { ServiceAnswer } from './ask.ts'
import type { SlotPlace } from './root-key.ts'
import { CIPHERTEXT_MAXIMUM_CHARACTERS } from './wrapping.ts'
import type { WrappingService } from './wrapping.ts'

/** How Keyward logs in: with a token from a file, or with the pod's service account. */
export type TransitLogin =
  | { readonly kind: 'token-file'; readonly path: string }
  | { readonly kind: 'kubernetes'; readonly role: string; readonly mount: string; readonly jwtFile: string }

export interface TransitOptions {
  /** Scheme, host and port. */
  readonly address: URL
  readonly mount: string
  readonly key: string
  readonly namespace: string | null
  readonly caFile: string | null
  readonly login: TransitLogin
}

const encrypted = z.object({
  data: z.object({
    ciphertext: z
      .string()
      .regex(/^[\x21-\x7e]+$/)
      .max(CIPHERTEXT_MAXIMUM_CHARACTERS),
  }),
})
const decrypted = z.object({ data: z.object({ plaintext: z.string().max(1024) }) })
const loggedIn = z.object({ auth: z.object({ client_token: z.string().regex(/^[\x21-\x7e]{1,4096}$/) }) })

/**
 * The transit engine of HashiCorp Vault and OpenBao (<https://developer.hashicorp.com/vault/api-docs/secret/transit>,
 * <https://openbao.org/api-docs/secret/transit/>). Store and slot go along as associated data, which an AEAD key
 * (aes256-gcm96, chacha20-poly1305) binds, and as the context from which a derived key is made; a key that is not
 * derived takes no notice of the context.
 */
export function transitService(options: TransitOptions): WrappingService {
  const { address, mount, key, caFile } = options
  const where = `${address.origin}/${mount}/${key}`

  async function call(path: string, body: object, token: Secret | null): Promise<ServiceAnswer> {
    const headers: Record<string, string> = { 'content-type': 'application/json', 'x-vault-request': 'true' }
    if (options.namespace !== null) headers['x-vault-namespace'] = options.namespace
    if (token !== null) headers['x-vault-token'] = token.revealText()
    return ask({ method: 'POST', url: new URL(`/v1/${path}`, address), headers, body: JSON.stringify(body), caFile })
  }

  async function login(): Promise<Secret> {
    const { login: how } = options
    if (how.kind === 'token-file') {
      const text = (await readTokenFile(how.path)).revealText().trim()
      if (!/^[\x21-\x7e]{1,4096}$/.test(text)) throw new KeywardError('root_key_missing', `${how.path} holds no token.`)
      return Secret.fromText('token', text)
    }
    const jwt = await readFile(how.jwtFile, 'utf8').catch((error: unknown) => {
      throw new KeywardError('root_key_missing', `Cannot open ${how.jwtFile}.`, { cause: error })
    })
    if (jwt.length > ROOT_KEY_TOKEN_MAXIMUM_BYTES)
      throw new KeywardError('root_key_missing', `${how.jwtFile} holds no token.`)
    const answer = await call(`auth/${how.mount}/login`, { role: how.role, jwt: jwt.trim() }, null)
    const parsed = loggedIn.safeParse(answer.body)
    if (answer.status !== 200 || !parsed.success) throw refused('the login', answer.status)
    return Secret.fromText('token', parsed.data.auth.client_token)
  }

  function refused(what: string, status: number): KeywardError {
    // 5xx: sealed, in standby, or broken (<https://developer.hashicorp.com/vault/api-docs#http-status-codes>).
    const code = status >= 500 || status === 429 ? 'root_key_unreachable' : 'root_key_refused'
    return new KeywardError(code, `${address.host} answered ${what} with status ${status}.`)
  }

  return {
    kind: 'transit',
    where,
    async wrap(bytes, place) {
      const plaintext = Buffer.from(bytes).toString('base64')
      const answer = await call(`${mount}/encrypt/${key}`, { plaintext, ...boundTo(place) }, await login())
      const parsed = encrypted.safeParse(answer.body)
      if (answer.status !== 200 || !parsed.success) throw refused('encrypt', answer.status)
      return parsed.data.data.ciphertext
    },
    async unwrap(ciphertext, place) {
      const answer = await call(`${mount}/decrypt/${key}`, { ciphertext, ...boundTo(place) }, await login())
      // What was not encrypted by this key, or for another place, is a bad request to them.
      if (answer.status === 400) return null
      const parsed = decrypted.safeParse(answer.body)
      if (answer.status !== 200 || !parsed.success) throw refused('decrypt', answer.status)
      return Buffer.from(parsed.data.data.plaintext, 'base64')
    },
  }
}

function boundTo({ storeId, slotId }: SlotPlace): { associated_data: string; context: string } {
  const text = Buffer.from(frame('keyward/slot-binding/v1', [storeId, slotId])).toString('base64')
  return { associated_data: text, context: text }
}
