import { Buffer } from 'node:buffer'
import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage } from 'node:http'

/**
 * For tests: a witness by the letter of https://c2sp.org/tlog-witness, with nothing of Keyward's. It knows logs by
 * their verifier keys and signs only what a consistency proof (RFC 9162, section 2.1.4.2) joins to what it has signed.
 */
export async function startWitness(name = 'witness.example/w1') {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = Buffer.from(publicKey.export({ format: 'der', type: 'spki' })).subarray(-32)
  const typed = Buffer.concat([Buffer.from([4]), raw])
  const id = sha256(Buffer.from(`${name}\n`), typed).subarray(0, 4)
  const logs = new Map<string, { origin: string; id: Buffer; key: ReturnType<typeof createPublicKey> }>()
  const signed = new Map<string, { size: number; root: string }>()
  /** What it answered, the newest last. */
  const statuses: number[] = []
  let isBroken = false

  function answer(body: string): { status: number; text: string; type?: string } {
    const blank = body.indexOf('\n\n')
    const [oldLine = '', ...proof] = body.slice(0, blank).split('\n')
    const oldMatch = /^old (0|[1-9]\d*)$/.exec(oldLine)
    const note = body.slice(blank + 2)
    const end = note.indexOf('\n\n')
    const text = note.slice(0, end + 1)
    const [origin = '', sizeText = '', root = ''] = text.split('\n')
    const log = logs.get(origin)
    if (oldMatch === null || blank < 0 || end < 0 || proof.length > 63) return { status: 400, text: '' }
    if (log === undefined) return { status: 404, text: '' }
    const isOwn = note
      .slice(end + 2)
      .split('\n')
      .some((line) => {
        const [dash, by, encoded = ''] = line.split(' ')
        const bytes = Buffer.from(encoded, 'base64')
        return (
          dash === '—' &&
          by === origin &&
          bytes.subarray(0, 4).equals(log.id) &&
          verify(null, Buffer.from(text), log.key, bytes.subarray(4))
        )
      })
    if (!isOwn) return { status: 403, text: '' }
    const [old, size] = [Number(oldMatch[1]), Number(sizeText)]
    if (old > size) return { status: 400, text: '' }
    const last = signed.get(origin) ?? { size: 0, root: '' }
    if (last.size !== old) return { status: 409, text: `${last.size}\n`, type: 'text/x.tlog.size' }
    if (old === size && old > 0 && last.root !== root)
      return { status: 409, text: `${last.size}\n`, type: 'text/x.tlog.size' }
    if (!isConsistent(old, last.root, size, root, proof)) return { status: 422, text: '' }
    signed.set(origin, { size, root })
    const time = Math.floor(Date.now() / 1000)
    const stamp = Buffer.alloc(8)
    stamp.writeBigUInt64BE(BigInt(time))
    const signature = sign(null, Buffer.from(`cosignature/v1\ntime ${time}\n${text}`), privateKey)
    return { status: 200, text: `— ${name} ${Buffer.concat([id, stamp, signature]).toString('base64')}\n` }
  }

  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      if (isBroken) return
      const {
        status,
        text,
        type = 'text/plain',
      } = request.method === 'POST' && request.url === '/add-checkpoint' ? answer(body) : { status: 404, text: '' }
      statuses.push(status)
      response.writeHead(status, { 'content-type': type }).end(text)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    key: `${name}+${id.toString('hex')}+${typed.toString('base64')}`,
    statuses,
    signed,
    /** `verifier`: `NAME+HEX+BASE64` */
    addLog(verifier: string): void {
      const [origin = '', hex = '', encoded = ''] = verifier.split(/\+(?=[0-9a-f]{8}\+)|(?<=\+[0-9a-f]{8})\+/)
      const x = Buffer.from(encoded, 'base64').subarray(1).toString('base64url')
      const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
      logs.set(origin, { origin, id: Buffer.from(hex, 'hex'), key })
    },
    /** Takes connections, and gives no answer any more. */
    hang(broken = true): void {
      isBroken = broken
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces).toString()
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest()
}

const node = (left: Buffer, right: Buffer): Buffer => sha256(Buffer.from([1]), left, right)

/** RFC 9162, section 2.1.4.2, line by line. */
function isConsistent(
  first: number,
  firstRoot: string,
  second: number,
  secondRoot: string,
  proof: readonly string[],
): boolean {
  const path = proof.map((line) => Buffer.from(line, 'base64'))
  if (first === 0) return path.length === 0
  if (first === second) return path.length === 0 && firstRoot === secondRoot
  if (path.length === 0) return false
  if (Number.isInteger(Math.log2(first))) path.unshift(Buffer.from(firstRoot, 'base64'))
  let [fn, sn] = [first - 1, second - 1]
  while (fn % 2 === 1) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  const [start = Buffer.alloc(0), ...rest] = path
  let fr: Buffer = start
  let sr: Buffer = start
  for (const c of rest) {
    if (sn === 0) return false
    if (fn % 2 === 1 || fn === sn) {
      fr = node(c, fr)
      sr = node(c, sr)
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
    } else sr = node(sr, c)
    ;[fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  }
  return fr.toString('base64') === firstRoot && sr.toString('base64') === secondRoot && sn === 0
}
