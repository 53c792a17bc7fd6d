import { createHash, createSecretKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { Secret } from '../../../src/core/secret.ts'
import type { Store, StoredRow, StoreIdentity } from '../../../src/stores/store.ts'
import { createCredentials } from '../../../src/vault/credentials.ts'
import { recordingAnchor, sampleService, seededRandom } from '../../../src/vault/fixture.ts'
import { frame } from '../../../src/vault/framing.ts'
import { makeSlot, makeTerm } from '../../../src/vault/keyring.ts'
import { heldRootKey, rootKeyText } from '../../../src/vault/root-keys/file.ts'
import { passphraseRootKey } from '../../../src/vault/root-keys/passphrase.ts'
import { rowMac } from '../../../src/vault/row-mac.ts'
import { deriveKey, seal, sealingKey } from '../../../src/vault/sealing.ts'
import type { SealPurpose } from '../../../src/vault/sealing.ts'
import { createVault } from '../../../src/vault/vault.ts'

/** A key is never written out: each vector names a label, and the key is the SHA-256 of it. */
export function keyOfLabel(label: string): KeyObject {
  return createSecretKey(bytesOfLabel(label))
}

export function bytesOfLabel(label: string): Buffer {
  return createHash('sha256').update(label).digest()
}

const storeId = 'vector-store'
const createdAt = 1_750_000_000_000

/** Every vector file by its name: what `node test/vectors/vault/make.ts` writes beside itself. */
export async function vaultVectors(): Promise<Record<string, unknown>> {
  return {
    framing: framing(),
    'derived-keys': derivedKeys(),
    envelopes: envelopes(),
    'row-macs': rowMacs(),
    'root-key-files': rootKeyFiles(),
    wraps: await wraps(),
    store: await wholeStore(),
  }
}

function framing() {
  const lists = [
    { label: '', parts: [] },
    { label: 'keyward/row/v1', parts: ['', 'a', 0, 1, Number.MAX_SAFE_INTEGER] },
    { label: 'ünï', parts: ['🔑', 'a\u0000b'] },
  ]
  return { cases: lists.map(({ label, parts }) => ({ label, parts, hex: frame(label, parts).toString('hex') })) }
}

function derivedKeys() {
  const uses = [
    'rows',
    'mac/token',
    'mac/placeholder',
    'mac/login',
    'mac/fingerprint',
    'slot/encrypt',
    'slot/commit',
    'term/encrypt',
    'term/commit',
  ]
  uses.push('data-key/encrypt', 'data-key/commit', 'field/encrypt', 'field/commit')
  // Shown as a hash: a derived key is a key too.
  const cases = uses.map((use) => ({
    keyLabel: 'vector/derive',
    use,
    sha256: sha256(deriveKey(keyOfLabel('vector/derive'), use).export()),
  }))
  return { cases }
}

function envelopes() {
  const random = seededRandom('vector/envelopes')
  const keyLabel = 'vector/envelope'
  const context = ['vector-store', 'dev', 'credential', 1, 'key']
  function sealed(purpose: SealPurpose, plain: string) {
    return {
      keyLabel,
      purpose,
      context,
      plain,
      envelope: seal(sealingKey(keyOfLabel(keyLabel), purpose), context, Buffer.from(plain), random),
    }
  }
  const base = sealed('field', 'sample')
  const bytes = Buffer.from(base.envelope, 'base64')
  function turned(at: number): string {
    const copy = Buffer.from(bytes)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy.toString('base64')
  }
  return {
    cases: [base, sealed('slot', ''), sealed('term', 'ünï🔑'), sealed('data-key', 'x'.repeat(100))],
    damaged: [
      { ...base, what: 'format 0', envelope: turned(0), failure: 'malformed' },
      { ...base, what: 'nonce changed', envelope: turned(1), failure: 'wrong_key' },
      { ...base, what: 'commitment changed', envelope: turned(13), failure: 'wrong_key' },
      { ...base, what: 'ciphertext changed', envelope: turned(45), failure: 'altered' },
      { ...base, what: 'tag changed', envelope: turned(bytes.byteLength - 1), failure: 'altered' },
      { ...base, what: 'cut short', envelope: bytes.subarray(0, 60).toString('base64'), failure: 'malformed' },
      { ...base, what: 'a newline after it', envelope: `${base.envelope}\n`, failure: 'malformed' },
      { ...base, what: 'base64url', envelope: bytes.toString('base64url'), failure: 'malformed' },
      { ...base, what: 'another key', keyLabel: 'vector/another', failure: 'wrong_key' },
      { ...base, what: 'another purpose', purpose: 'term', failure: 'wrong_key' },
      {
        ...base,
        what: 'another version',
        context: ['vector-store', 'dev', 'credential', 2, 'key'],
        failure: 'altered',
      },
      {
        ...base,
        what: 'number as text',
        context: ['vector-store', 'dev', 'credential', '1', 'key'],
        failure: 'altered',
      },
    ],
  }
}

function rowMacs() {
  const rows = [
    { table: 'grant', id: 'a', seq: 1, body: '{}' },
    { table: 'setting', id: 'ü', seq: 4_294_967_296, body: '{"value":"🔑"}' },
  ]
  const keyLabel = 'vector/rows'
  return {
    cases: rows.map((row) => ({
      keyLabel,
      storeId,
      ...row,
      mac: rowMac(keyOfLabel(keyLabel), storeId, row).toString('hex'),
    })),
  }
}

/** `{key}` stands for the base64url of the key and `{checksum}` for its checksum, so that no file looks like a root key. */
function rootKeyFiles() {
  const keyLabel = 'vector/root-key'
  const checksum = rootKeyText(bytesOfLabel(keyLabel)).trimEnd().split(':')[3] ?? ''
  const opens = ['keyward-root-key:v1:{key}:{checksum}\n', 'keyward-root-key:v1:{key}:{checksum}']
  const damaged = [
    '',
    '\n',
    '{key}',
    'keyward-root-key:v1:{key}\n',
    'keyward-root-key:v2:{key}:{checksum}\n',
    'another-key:v1:{key}:{checksum}\n',
    'keyward-root-key:v1:{key}:00000000\n',
    'keyward-root-key:v1:{key}=:{checksum}\n',
    'keyward-root-key:v1:A{key}:{checksum}\n',
    'keyward-root-key:v1::{checksum}\n',
    'keyward-root-key:v1:{key}:{checksum}\n\n',
    'keyward-root-key:v1:{key}:{checksum}\r\n',
    ' keyward-root-key:v1:{key}:{checksum}\n',
  ]
  return { keyLabel, checksum, opens, damaged: damaged.map((text) => ({ text, failure: 'root_key_wrong' })) }
}

async function wraps() {
  const random = seededRandom('vector/wraps')
  const master = keyOfLabel('vector/master')
  const place = { storeId, now: createdAt, random }
  const file = heldRootKey('file', keyOfLabel('vector/root-key'))
  const passphrase = passphraseRootKey(Secret.fromText('passphrase', 'vector/passphrase'), random)
  const fileSlot = await makeSlot(file, master, { ...place, slotId: 'slot-file' })
  const passphraseSlot = await makeSlot(passphrase, master, { ...place, slotId: 'slot-passphrase' })
  const base = { storeId, masterLabel: 'vector/master' }
  const slots = [
    { ...base, id: 'slot-file', rootKeyLabel: 'vector/root-key', slot: fileSlot, failure: null },
    { ...base, id: 'slot-passphrase', passphrase: 'vector/passphrase', slot: passphraseSlot, failure: null },
    { ...base, id: 'slot-other', rootKeyLabel: 'vector/root-key', slot: fileSlot, failure: 'root_key_wrong' },
    { ...base, id: 'slot-file', rootKeyLabel: 'vector/another', slot: fileSlot, failure: 'root_key_wrong' },
    {
      ...base,
      id: 'slot-passphrase',
      passphrase: 'vector/Passphrase',
      slot: passphraseSlot,
      failure: 'root_key_wrong',
    },
  ]
  const terms = (['seal', 'token', 'fingerprint', 'journal', 'ca'] as const).map((purpose) => {
    const term = makeTerm(master, purpose, { ...place, termId: `term-${purpose}` })
    return { ...base, id: `term-${purpose}`, term }
  })
  return { slots, terms }
}

async function wholeStore() {
  const random = seededRandom('vector/store')
  const rows = new Map<string, StoredRow>()
  // Begun by the first release.
  let identity: StoreIdentity | null = { storeId: Buffer.from(random(16)).toString('hex'), schema: 1 }
  let commits = 0
  const store: Store = {
    kind: 'vector',
    node: null,
    nodes: null,
    changesSince: async () => [],
    identity: async () => identity,
    initialise: async (given) => void (identity = given),
    epoch: async () => commits,
    load: async () => [...rows.values()],
    async commit({ put, remove }) {
      commits += 1
      for (const row of put) rows.set(`${row.table} ${row.id}`, row)
      for (const { table, id } of remove) rows.delete(`${table} ${id}`)
    },
    close: async () => undefined,
  }
  const rootKeyLabel = 'vector/root-key'
  const options = {
    store,
    rootKey: heldRootKey('file', keyOfLabel(rootKeyLabel)),
    now: () => createdAt,
    random,
  } as const
  const { records, vault } = await createVault(options)
  records.attach(recordingAnchor())
  const service = sampleService('echo', { account: 'public', key: 'secret' })
  const credentials = createCredentials({
    records,
    vault,
    service: () => service,
    now: options.now,
    newId: () => 'credential-1',
  })
  const secret = (text: string) => Secret.fromText('field', text)
  const first = { account: secret('acct'), key: secret('first sample') }
  const base = { name: 'echo', environment: 'dev', service: 'echo', owner: null, sensitivity: 'low' } as const
  await credentials.add({ ...base, fields: first }, 'vector')
  const old = rows.get('version credential-1.1')
  await credentials.set('credential-1', { key: secret('second sample') }, 'vector')
  const latest = rows.get('version credential-1.1')
  if (old === undefined || latest === undefined) throw new Error('the version is not there')
  const head = rows.get('_head head')
  return {
    rootKeyLabel,
    identity: await store.identity(),
    epoch: records.epoch,
    rows: [...rows.values()].map(printed).toSorted((a, b) => (`${a.table} ${a.id}` < `${b.table} ${b.id}` ? -1 : 1)),
    opens: { credential: 'credential-1', version: 2, fields: { account: 'acct', key: 'second sample' } },
    damaged: [
      {
        what: 'edited',
        put: [{ ...printed(latest), body: latest.body.replace('revoked', 'current') }],
        names: ['version', 'credential-1.1'],
      },
      { what: 'put back', put: [printed(old)], names: ['version', 'credential-1.1'] },
      { what: 'removed', remove: ['environment', 'prod'], names: ['environment', 'prod'] },
      { what: 'added', put: [{ ...printed(latest), id: 'credential-1.3' }], names: ['version', 'credential-1.3'] },
      {
        what: 'head edited',
        put: head === undefined ? [] : [{ ...printed(head), body: `${head.body} ` }],
        names: ['_head', 'head'],
      },
      { what: 'head removed', remove: ['_head', 'head'], names: ['_head', 'head'] },
      { what: 'root removed', remove: ['_root', 'version'], names: ['_root', 'version'] },
    ].map((damage) => ({ ...damage, failure: 'store_tampered' })),
  }
}

function printed({ table, id, seq, body, mac }: StoredRow) {
  return { table, id, seq, body, mac: Buffer.from(mac).toString('hex') }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

const [, script] = process.argv
if (script !== undefined && import.meta.url === pathToFileURL(script).href) {
  for (const [name, content] of Object.entries(await vaultVectors())) {
    await writeFile(new URL(`${name}.json`, import.meta.url), `${JSON.stringify(content, null, 2)}\n`)
  }
}
