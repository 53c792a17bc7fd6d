import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../core/secret.ts'
import { openSlot, makeSlot } from '../keyring.ts'
import { takeKey } from '../sealing.ts'
import { ROOT_KEY_ANSWER_MAXIMUM_BYTES, ask } from './ask.ts'
import { readRootKeyChoice } from './choice.ts'
import type { RootKeyNeeds } from './choice.ts'
import { breaksOf } from './conformance.ts'
import { fakeKms, fakeTransit } from './fake-services.ts'
import type { FakeService } from './fake-services.ts'
import { fileSource, heldRootKey } from './file.ts'
import { rootKeySource } from './index.ts'
import { keyringSource } from './keyring.ts'
import type { KeyringPrograms } from './keyring.ts'
import { passphraseSource } from './passphrase.ts'
import type { RootKeySource } from './root-key.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-root-keys-'))
const random = randomBytes
const token = randomBytes(16).toString('hex')
const parts = { askPassphrase: null, random, now: Date.now, platform: process.platform }
let made = 0
const newPath = () => join(folder, `${(made += 1)}`)
let transit: FakeService
let kms: FakeService

beforeAll(async () => {
  transit = await fakeTransit(token)
  kms = await fakeKms()
  writeFileSync(join(folder, 'token'), `${token}\n`, { mode: 0o600 })
  const lines = [
    '[other]',
    'aws_access_key_id = no',
    '[default]',
    'aws_access_key_id = AKID',
    `aws_secret_access_key = ${token}`,
  ]
  writeFileSync(join(folder, 'credentials'), lines.join('\n'), { mode: 0o600 })
})
afterAll(async () => {
  await transit.close()
  await kms.close()
  rmSync(folder, { recursive: true })
})

const needs = (more: Partial<RootKeyNeeds> = {}): RootKeyNeeds => ({
  rootKeyFile: join(folder, 'key'),
  passphraseFile: null,
  credentials: null,
  namespace: null,
  caFile: null,
  endpoint: null,
  containerUrl: null,
  containerTokenFile: null,
  ...more,
})
const transitOf = (key: string, more: Partial<RootKeyNeeds> = {}): RootKeySource =>
  rootKeySource(
    readRootKeyChoice(
      `transit:${transit.origin}/some/transit/${key}`,
      needs({ credentials: join(folder, 'token'), ...more }),
    ),
    parts,
  )
const kmsOf = (key: string, more: Partial<RootKeyNeeds> = {}): RootKeySource => {
  const credentials = join(folder, 'credentials')
  const text = `aws-kms:arn:aws:kms:eu-central-1:123456789012:key/${key}`
  return rootKeySource(readRootKeyChoice(text, needs({ credentials, endpoint: kms.origin, ...more })), parts)
}

function memoryKeyring(): KeyringPrograms {
  const kept = new Map<string, string>()
  const name = ({ storeId, slotId }: { storeId: string; slotId: string }) => `${storeId}/${slotId}`
  return {
    store: async (place, text) => void kept.set(name(place), text),
    look: async (place) => kept.get(name(place)) ?? null,
    clear: async (place) => void kept.delete(name(place)),
  }
}

function passphrases(): RootKeySource {
  let current = randomBytes(9).toString('hex')
  const source = passphraseSource({ file: null, ask: async () => Secret.fromText('passphrase', current), random })
  return {
    ...source,
    // What a person does: he types the new one, and from then on he types that.
    async next() {
      const typed = randomBytes(9).toString('hex')
      const next = await source.next(Secret.fromText('passphrase', typed))
      return { ...next, settle: async () => void (current = typed) }
    },
  }
}

const kinds: Readonly<Record<string, () => Promise<RootKeySource>>> = {
  file: async () => fileSource({ path: newPath(), random }),
  passphrase: async () => passphrases(),
  keyring: async () => keyringSource({ programs: memoryKeyring(), random }),
  transit: async () => transitOf(`key-${(made += 1)}`),
  'aws-kms': async () => kmsOf(`key-${(made += 1)}`),
}

test.each(Object.entries(kinds))('%s keeps the contract', async (_, make) => {
  expect(await breaksOf(make)).toEqual([])
})

describe('the suite catches', () => {
  const good = () => fileSource({ path: newPath(), random })
  const broken: Readonly<Record<string, () => RootKeySource>> = {
    'one key for everybody': () => {
      const key = takeKey(Buffer.alloc(32, 7))
      return { ...good(), first: async () => heldRootKey('file', key), existing: async () => heldRootKey('file', key) }
    },
    'no key at all': () => {
      const none = async () => heldRootKey('file', takeKey(Buffer.alloc(32)))
      return { ...good(), first: none, existing: none }
    },
    'slots of every kind': () => {
      const source = good()
      const any = async () => {
        const rootKey = await source.first()
        return {
          ...rootKey,
          open: async (_: object, place: { storeId: string; slotId: string }) => rootKey.open({ kind: 'file' }, place),
        }
      }
      return { ...source, first: any }
    },
    'a next one that takes over too early': () => {
      const source = good()
      return {
        ...source,
        async next(passphrase) {
          const next = await source.next(passphrase)
          await next.settle()
          return { ...next, settle: async () => undefined, discard: async () => undefined }
        },
      }
    },
    'a next one that is the former': () => {
      const source = good()
      return {
        ...source,
        next: async () => ({
          rootKey: await source.existing(),
          settle: async () => undefined,
          destroyFormer: async () => undefined,
          discard: async () => undefined,
        }),
      }
    },
    'a key that is written into the slot': () => {
      const source = good()
      return {
        ...source,
        async first() {
          const rootKey = await source.first()
          return {
            ...rootKey,
            async create(place) {
              const { key } = await rootKey.create(place)
              return { head: { kind: 'file', ciphertext: key.export().toString('base64') }, key }
            },
          }
        },
      }
    },
    'a wrapping that is bound to nothing': () => {
      const source = transitOf(`key-${(made += 1)}`)
      const place = { storeId: 'one', slotId: 'one' }
      const loose = async () => {
        const rootKey = await source.first()
        return {
          ...rootKey,
          create: () => rootKey.create(place),
          open: (head: Parameters<typeof rootKey.open>[0]) => rootKey.open(head, place),
        }
      }
      return { ...source, first: loose, existing: loose }
    },
    'a destruction that takes the wrong one': () => {
      const programs = memoryKeyring()
      const kept: { storeId: string; slotId: string }[] = []
      const source = keyringSource({
        programs: { ...programs, store: (place, text) => (kept.push(place), programs.store(place, text)) },
        random,
      })
      return {
        ...source,
        async next() {
          const next = await source.next(null)
          return { ...next, destroyFormer: async () => void (await Promise.all(kept.map(programs.clear))) }
        },
      }
    },
  }
  test.each(Object.entries(broken))('%s', async (_, make) => {
    expect(await breaksOf(async () => make())).not.toEqual([])
  })
})

describe('a service that guards the root key', () => {
  const place = { storeId: 'store', slotId: 'slot', now: 1, random }
  const codes = (source: RootKeySource) =>
    source
      .existing()
      .then((rootKey) => rootKey.create(place))
      .then(
        () => null,
        (error: { code?: unknown }) => error.code,
      )

  test('never gets the master key, and what it answers instead of its own does not open the slot', async () => {
    const master = takeKey(randomBytes(32))
    const secret = master.export()
    const rootKey = await transitOf('honest').first()
    const slot = await makeSlot(rootKey, master, place)
    const sent = JSON.stringify(transit.seen)
    for (const encoding of ['hex', 'base64', 'base64url'] as const)
      expect(sent).not.toContain(secret.toString(encoding))
    expect((await openSlot(rootKey, 'store', 'slot', slot))?.equals(master)).toBe(true)
    const foreign = { data: { plaintext: randomBytes(32).toString('base64') } }
    transit.misbehave = (response) => (response.end(JSON.stringify(foreign)), true)
    expect(await openSlot(rootKey, 'store', 'slot', slot)).toBeNull()
    transit.misbehave = (response) => (response.end(JSON.stringify({ data: { plaintext: '' } })), true)
    expect(await openSlot(rootKey, 'store', 'slot', slot)).toBeNull()
    transit.misbehave = null
    // The ciphertext is part of what the slot is bound to: another one of this very key does not stand in for it.
    const other = await rootKey.create(place)
    expect(await openSlot(rootKey, 'store', 'slot', { ...slot, ciphertext: other.head.ciphertext ?? '' })).toBeNull()
    expect(await openSlot(rootKey, 'store', 'elsewhere', slot)).toBeNull()
    expect(await openSlot(rootKey, 'elsewhere', 'slot', slot)).toBeNull()
  })

  test('is told apart: out of reach, or saying no', async () => {
    transit.misbehave = (response) => (response.writeHead(503).end('{"errors":["sealed"]}'), true)
    expect(await codes(transitOf('k'))).toBe('root_key_unreachable')
    transit.misbehave = (response) => (response.destroy(), true)
    expect(await codes(transitOf('k'))).toBe('root_key_unreachable')
    transit.misbehave = (response) => (response.writeHead(403).end('{"errors":["permission denied"]}'), true)
    expect(await codes(transitOf('k'))).toBe('root_key_refused')
    transit.misbehave = null
    kms.misbehave = (response) => (response.writeHead(400).end('{"__type":"AccessDeniedException"}'), true)
    expect(await codes(kmsOf('k'))).toBe('root_key_refused')
    kms.misbehave = (response) => (response.writeHead(400).end('{"__type":"ThrottlingException"}'), true)
    expect(await codes(kmsOf('k'))).toBe('root_key_unreachable')
    kms.misbehave = null
  })

  test('that sends somewhere else, or without end, gets nothing more', async () => {
    const metadata: string[] = []
    transit.misbehave = (response, path) => {
      metadata.push(path)
      if (path.includes('latest')) return false
      response.writeHead(307, { location: `${transit.origin}/latest/meta-data/` }).end()
      return true
    }
    expect(await codes(transitOf('k'))).toBe('root_key_refused')
    expect(metadata.filter((path) => path.includes('latest'))).toEqual([])
    transit.misbehave = (response) => (response.end('x'.repeat(ROOT_KEY_ANSWER_MAXIMUM_BYTES + 1)), true)
    expect(await codes(transitOf('k'))).toBe('root_key_unreachable')
    transit.misbehave = () => true
    const silent = ask({ method: 'GET', url: new URL(transit.origin), headers: {}, caFile: null }, 50)
    await expect(silent).rejects.toMatchObject({ code: 'root_key_unreachable' })
    transit.misbehave = null
  })

  test('is logged into with the pod’s service account, in its namespace, and shows no token in an error', async () => {
    const jwtFile = join(folder, 'jwt')
    writeFileSync(jwtFile, 'a.b.c', { mode: 0o644 })
    const choice = readRootKeyChoice(
      `transit:${transit.origin}/transit/k`,
      needs({ credentials: 'kubernetes:keyward@k8s', namespace: 'team' }),
    )
    if (choice.kind !== 'transit' || choice.login.kind !== 'kubernetes') throw new Error('it is a login of a pod')
    const rootKey = await rootKeySource({ ...choice, login: { ...choice.login, jwtFile } }, parts).first()
    await rootKey.create(place)
    const [login, encrypt] = transit.seen.slice(-2)
    expect([login?.path, login?.body]).toEqual(['/v1/auth/k8s/login', { role: 'keyward', jwt: 'a.b.c' }])
    expect([encrypt?.headers['x-vault-namespace'], encrypt?.headers['x-vault-token']]).toEqual(['team', token])
    transit.misbehave = (response) => (response.writeHead(403).end(`{"errors":["${token}"]}`), true)
    const error: unknown = await rootKey.create(place).catch((thrown: unknown) => thrown)
    expect(String(error instanceof Error ? error.stack : error)).not.toContain(token)
    transit.misbehave = null
  })

  test('is not asked with a token that everybody can read', async () => {
    const path = newPath()
    writeFileSync(path, token, { mode: 0o644 })
    expect(await codes(transitOf('k', { credentials: path }))).toBe('root_key_unsafe')
    expect(await codes(kmsOf('k', { credentials: path }))).toBe('root_key_unsafe')
  })
})

test.each([
  ['in clear across a network', 'transit:http://vault.example.test:8200/transit/k'],
  ['with a password in the URL', 'transit:https://u:p@vault.example.test/transit/k'],
  ['without a mount', 'transit:https://vault.example.test/k'],
  ['up the path', 'transit:https://vault.example.test/../sys/k'],
  ['an id instead of an ARN', 'aws-kms:1234'],
  ['an ARN of another service', 'aws-kms:arn:aws:s3:eu-central-1:123456789012:key/k'],
  ['something else', 'magic'],
])('KEYWARD_ROOT_KEY %s is refused', (_, text) => {
  expect(() => readRootKeyChoice(text, needs({ credentials: '/x' }))).toThrow(
    expect.objectContaining({ code: 'config_invalid' }),
  )
})
