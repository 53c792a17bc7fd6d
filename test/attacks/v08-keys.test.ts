import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import type { TermRecord } from '../../src/core/records.ts'
import { makeTerm, openKeyring, rowKey } from '../../src/vault/keyring.ts'
import { deriveKey, open, seal, sealingKey, type SealPurpose } from '../../src/vault/sealing.ts'
import { proxyCredentials } from '../e2e/gateway/requests.ts'
import { attack, fronts, inside } from './attack.ts'
import { openScene, type Scene } from './scene.ts'

/** V8: what a key of one purpose makes is nothing to any other. */

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

const purposes: readonly SealPurpose[] = ['slot', 'term', 'data-key', 'field']
const termPurposes: readonly TermRecord['purpose'][] = ['seal', 'token', 'fingerprint', 'journal', 'ca']
const at = { storeId: 'store', now: 0, random: randomBytes }

attack('V8', 'an envelope of one purpose opens for no other, of the same 32 bytes', inside, () => {
  const raw = randomBytes(32)
  for (const one of purposes) {
    const envelope = seal(sealingKey(raw, one), ['place'], Buffer.from('content'), randomBytes)
    for (const other of purposes) {
      const opened = open(sealingKey(raw, other), ['place'], envelope)
      expect('bytes' in opened, `${one} by ${other}`).toBe(one === other)
    }
  }
})

attack('V8', 'every key that is derived has a label of its own, and is another', inside, () => {
  const root = join(import.meta.dirname, '../../src')
  const uses = new Set<string>()
  for (const file of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue
    const text = readFileSync(join(root, file), 'utf8')
    // The one place where a key is derived: any other would have labels that nobody compares.
    if (/\bhkdf(?:Sync)?\(/.test(text)) expect(file).toBe('vault/sealing.ts')
    for (const [, quoted, label = ''] of text.matchAll(
      /\bderiveKey\([^,()]+(?:\([^()]*\)[^,()]*)?, (['`])([^'`]+)\1\)/g,
    )) {
      const written = quoted === '`' ? purposes.map((purpose) => label.replace('${purpose}', purpose)) : [label]
      for (const use of written) {
        expect(uses.has(use), `${use} is used twice`).toBe(false)
        uses.add(use)
      }
    }
  }
  expect([...uses].toSorted()).toEqual(
    [
      'mac/fingerprint',
      'mac/backup',
      'mac/login',
      'mac/session',
      'recovery',
      'mac/placeholder',
      'mac/token',
      'rows',
      ...purposes.flatMap((one) => [`${one}/commit`, `${one}/encrypt`]),
    ].toSorted(),
  )
  const raw = randomBytes(32)
  const keys = [...uses].map((use) => deriveKey(raw, use).export().toString('hex'))
  expect(new Set([...keys, raw.toString('hex')]).size).toBe(keys.length + 1)
})

attack('V8', 'a key of the keyring put into the place of another is refused', inside, () => {
  const master = createSecretKey(randomBytes(32))
  const terms = new Map(
    termPurposes.map((purpose) => [purpose, makeTerm(master, purpose, { ...at, termId: purpose })] as const),
  )
  const ring = openKeyring(master, 'store', terms)
  const used = [ring.mac.token, ring.mac.placeholder, ring.mac.fingerprint, rowKey(master)].map((key) =>
    key.export().toString('hex'),
  )
  expect(new Set([...used, master.export().toString('hex')]).size).toBe(5)
  for (const one of termPurposes) {
    for (const other of termPurposes) {
      if (one === other) continue
      const moved = terms.get(one)
      if (moved === undefined) throw new Error('no such term')
      // Under another name, and under its own with another purpose.
      for (const id of [other, one]) {
        const swapped = new Map([...terms, [id, { ...moved, purpose: other }] as const])
        expect(() => openKeyring(master, 'store', swapped), `${one} as ${other}, id ${id}`).toThrow('does not open')
      }
    }
  }
})

attack(
  'V8',
  'what the store keeps of a token proves nothing, nor does a token made with another key',
  fronts,
  async (front) => {
    const { vault, records } = scene.stage.app
    const { token } = scene.login
    const kept = [...records.all('session').values()].flatMap(
      (record) => JSON.stringify(record).match(/[A-Za-z0-9_+/=-]{20,}/g) ?? [],
    )
    expect(kept.length).toBeGreaterThan(0)
    const made = (['token', 'placeholder', 'fingerprint'] as const)
      .map((purpose) => vault.macKey(purpose))
      .map((key) => createHmac('sha256', key).update(token).digest('base64url'))
    const before = scene.upstream.received().length
    for (const text of [...kept, ...made]) {
      const headers =
        front.door === 'absolute'
          ? [['Proxy-Authorization', proxyCredentials(text)] as const]
          : [['Authorization', `Bearer ${text}`] as const]
      const answer = await scene.stage.request({ ...front, held: scene.echo, login: scene.login, headers })
      expect(answer.status).toBe(401)
    }
    expect(scene.upstream.received().length).toBe(before)
  },
)
