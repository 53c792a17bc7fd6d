import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'

/** A request as the vendor's signer takes it. */
export interface ToSign {
  readonly method: string
  readonly host: string
  /** Path and query, encoded. */
  readonly target: string
  /** Of text, not of bytes. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export interface SigningKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export interface SigningScope {
  readonly service: string
  readonly region: string
  readonly at: Date
}

/** All headers of the request as the vendor's own signer writes them, the signature among them; it signs what it is given. */
export async function signed(
  { method, host, target, headers, body }: ToSign,
  key: SigningKey,
  { service, region, at }: SigningScope,
): Promise<Readonly<Record<string, string>>> {
  const url = new URL(target, 'http://any.test')
  const signer = new SignatureV4({
    service,
    region,
    credentials: key,
    sha256: Sha256,
    uriEscapePath: service !== 's3',
    applyChecksum: false,
  })
  const request = {
    method,
    protocol: 'https:',
    hostname: host,
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    headers: { ...headers, host },
    body: body ?? '',
  }
  return (await signer.sign(request, { signingDate: at })).headers
}

/** The query of a presigned URL for it. */
export async function presigned(
  { method, host, target, headers }: ToSign,
  key: SigningKey,
  { service, region, at }: SigningScope,
): Promise<string> {
  const signer = new SignatureV4({ service, region, credentials: key, sha256: Sha256 })
  const request = { method, protocol: 'https:', hostname: host, path: target, query: {}, headers: { ...headers, host } }
  const { query = {} } = await signer.presign(request, { signingDate: at, expiresIn: 60 })
  return new URLSearchParams(
    Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]),
  ).toString()
}

/** SHA-256 and its HMAC in the form in which the signer takes it. */
class Sha256 {
  readonly #secret: Uint8Array | null
  readonly #parts: Uint8Array[] = []

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret === undefined ? null : bytesOf(secret)
  }

  update(part: string | ArrayBuffer | ArrayBufferView): void {
    this.#parts.push(bytesOf(part))
  }

  async digest(): Promise<Uint8Array> {
    const hash = this.#secret === null ? createHash('sha256') : createHmac('sha256', this.#secret)
    for (const part of this.#parts) hash.update(part)
    return hash.digest()
  }

  reset(): void {
    this.#parts.length = 0
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data, 'utf8')
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
