import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'

/**
 * For tests: the part of the transit engine and of KMS that Keyward speaks, after the vendors' documents
 * (<https://developer.hashicorp.com/vault/api-docs/secret/transit>, <https://openbao.org/api-docs/secret/transit/>,
 * <https://docs.aws.amazon.com/kms/latest/APIReference/>). Ciphertexts are real: AES-GCM with the binding as
 * additional data.
 */
export interface FakeService {
  readonly origin: string
  /** Requests that came, newest last. */
  readonly seen: { readonly path: string; readonly headers: IncomingMessage['headers']; readonly body: unknown }[]
  /** Answers the next requests in another way than it should. */
  misbehave: ((response: ServerResponse, path: string) => boolean) | null
  close(): Promise<void>
}

const transitInput = z.object({
  plaintext: z.string().optional(),
  ciphertext: z.string().optional(),
  associated_data: z.string(),
  context: z.string(),
})
const kmsInput = z.object({
  KeyId: z.string(),
  Plaintext: z.string().optional(),
  CiphertextBlob: z.string().optional(),
  EncryptionContext: z.record(z.string(), z.string()),
})

function lockOf(key: Buffer) {
  return {
    lock(plain: Buffer, bound: string): Buffer {
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(bound))
      return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    },
    unlock(sealed: Buffer, bound: string): Buffer | null {
      try {
        const cipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12)).setAAD(Buffer.from(bound))
        cipher.setAuthTag(sealed.subarray(-16))
        return Buffer.concat([cipher.update(sealed.subarray(12, -16)), cipher.final()])
      } catch {
        return null
      }
    },
  }
}

/** A transit engine with any key at any mount, for one token; and a Kubernetes login that gives it. */
export function fakeTransit(token: string): Promise<FakeService> {
  const keys = new Map<string, ReturnType<typeof lockOf>>()
  return serve((path, headers, body) => {
    if (/^\/v1\/auth\/[\w/]+\/login$/.test(path)) return { auth: { client_token: token } }
    if (headers['x-vault-token'] !== token) return 403
    const [, action = '', name = ''] = /^\/v1\/[\w/]+\/(encrypt|decrypt)\/([\w.-]+)$/.exec(path) ?? []
    const input = transitInput.safeParse(body)
    if (action === '' || !input.success) return 404
    const { plaintext = '', ciphertext = '', associated_data, context } = input.data
    const key = keys.get(name) ?? lockOf(createHmac('sha256', 'transit').update(name).update(token).digest())
    keys.set(name, key)
    if (action === 'encrypt') {
      const sealed = key.lock(Buffer.from(plaintext, 'base64'), associated_data + context)
      return { data: { ciphertext: `vault:v1:${sealed.toString('base64')}`, key_version: 1 } }
    }
    const plain = key.unlock(Buffer.from(ciphertext.replace(/^vault:v1:/, ''), 'base64'), associated_data + context)
    return plain === null ? 400 : { data: { plaintext: plain.toString('base64') } }
  })
}

/** KMS with any key. Signatures are not checked here; what is signed is compared with the vendor's own examples elsewhere. */
export function fakeKms(): Promise<FakeService> {
  const secret = randomBytes(32)
  return serve((_, headers, body) => {
    const input = kmsInput.safeParse(body)
    if (!input.success || !String(headers['authorization']).startsWith('AWS4-HMAC-SHA256 ')) return 400
    const { KeyId, Plaintext = '', CiphertextBlob = '', EncryptionContext } = input.data
    const key = lockOf(createHmac('sha256', secret).update(KeyId).digest())
    const bound = JSON.stringify(Object.entries(EncryptionContext).toSorted())
    if (headers['x-amz-target'] === 'TrentService.Encrypt')
      return { KeyId, CiphertextBlob: key.lock(Buffer.from(Plaintext, 'base64'), bound).toString('base64') }
    const plain = key.unlock(Buffer.from(CiphertextBlob, 'base64'), bound)
    return plain === null ? 'InvalidCiphertextException' : { KeyId, Plaintext: plain.toString('base64') }
  })
}

async function serve(
  answer: (path: string, headers: IncomingMessage['headers'], body: unknown) => object | number | string,
): Promise<FakeService> {
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const piece of request) text += String(piece)
    const path = request.url ?? ''
    const body: unknown = text === '' ? null : JSON.parse(text)
    fake.seen.push({ path, headers: request.headers, body })
    if (fake.misbehave?.(response, path) === true) return
    const given = answer(path, request.headers, body)
    response.setHeader('content-type', 'application/json')
    if (typeof given === 'number') response.writeHead(given).end('{"errors":["no"]}')
    else if (typeof given === 'string') response.writeHead(400).end(JSON.stringify({ __type: given }))
    else response.end(JSON.stringify(given))
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const fake: FakeService = {
    origin: `http://127.0.0.1:${port}`,
    seen: [],
    misbehave: null,
    async close() {
      server.closeAllConnections()
      server.close()
    },
  }
  return fake
}
