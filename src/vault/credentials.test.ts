import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import { createCredentials } from './credentials.ts'
import type { NewCredential } from './credentials.ts'
import { sampleService, vaultFolder } from './fixture.ts'
import { MAX_FIELD_BYTES } from './secret-rules.ts'

const home = vaultFolder('credentials')
afterAll(() => home.remove())

const services = new Map(
  [
    sampleService('echo', { key: 'secret' }),
    sampleService('cloud', { id: 'public', key: 'secret', pem: 'secret' }),
  ].map((service) => [service.id, service]),
)
let made = 0

async function start() {
  const opened = await home.create()
  const { records, vault } = opened
  const credentials = createCredentials({
    records,
    vault,
    service: (id) => services.get(id),
    now: home.now,
    newId: home.newId,
  })
  return { ...opened, credentials }
}

function fieldsOf(values: Record<string, string>): Record<string, Secret> {
  return Object.fromEntries(Object.entries(values).map(([field, value]) => [field, Secret.fromText(field, value)]))
}

function echo(value: string, change: Partial<NewCredential> = {}): NewCredential {
  made += 1
  const base = { name: `c${made}`, environment: 'dev', service: 'echo', owner: null, sensitivity: 'high' } as const
  return { ...base, fields: fieldsOf({ key: value }), ...change }
}

function fresh(): string {
  return Buffer.from(home.random(20)).toString('hex')
}

function textOf(value: Secret | string | undefined): string | undefined {
  return value instanceof Secret ? value.revealText() : value
}

describe('adding', () => {
  test('seals secret fields, shows public ones, and finds the credential again after reopening', async () => {
    const { credentials, records, path } = await start()
    const [key, pem] = [fresh(), `-----BEGIN THING-----\n${fresh()}\n-----END THING-----\n`]
    const given = echo('', {
      name: 'aws',
      service: 'cloud',
      owner: 'a@example.test',
      fields: fieldsOf({ id: 'public-id', key, pem }),
    })
    const { id } = await credentials.add(given, 'test')
    await records.close()
    const again = await home.openAt(path)
    const reopened = createCredentials({
      records: again.records,
      vault: again.vault,
      service: (id) => services.get(id),
      now: home.now,
      newId: home.newId,
    })
    expect(reopened.find('dev', 'aws')).toMatchObject({
      id,
      record: { name: 'aws', state: 'active', owner: 'a@example.test' },
    })
    expect(reopened.find('prod', 'aws')).toBeUndefined()
    expect(reopened.list()).toMatchObject([{ id, version: 1, publicFields: { id: 'public-id' } }])
    expect(reopened.list('prod')).toEqual([])
    const { number, fields } = reopened.current(id)
    expect([number, fields['id'], textOf(fields['key']), textOf(fields['pem'])]).toEqual([1, 'public-id', key, pem])
    expect(fields['key']).toBeInstanceOf(Secret)
    expect(reopened.current(id)).toBe(reopened.current(id))
    await again.records.close()
  })

  test('refuses what cannot be, and stores nothing', async () => {
    const { credentials, records } = await start()
    await credentials.add(echo(fresh(), { name: 'taken' }), 'test')
    const epoch = records.epoch
    const refused: [string, NewCredential][] = [
      ['already_exists', echo(fresh(), { name: 'taken' })],
      ['not_found', echo(fresh(), { environment: 'nowhere' })],
      ['service_unknown', echo(fresh(), { service: 'nobody' })],
      ['usage', echo(fresh(), { name: 'a\nb' })],
      ['usage', echo(fresh(), { name: '' })],
      ['field_missing', echo('', { service: 'cloud', fields: fieldsOf({ id: 'x', key: fresh() }) })],
      ['field_missing', echo('', { fields: {} })],
      ['secret_invalid', echo('', { fields: fieldsOf({ key: fresh(), extra: fresh() }) })],
      ['secret_invalid', echo('', { fields: fieldsOf({ key: fresh(), constructor: fresh() }) })],
    ]
    for (const [code, given] of refused)
      await expect(credentials.add(given, 'test'), code).rejects.toMatchObject({ code })
    expect(records.epoch).toBe(epoch)
    await credentials.add(echo(fresh(), { name: 'taken', environment: 'prod' }), 'test')
    await records.close()
  })

  test('of two at once under one name, one is refused', async () => {
    const { credentials, records } = await start()
    const results = await Promise.allSettled(
      [1, 2, 3].map(() => credentials.add(echo(fresh(), { name: 'same' }), 'test')),
    )
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    await records.close()
  })
})

describe('a value', () => {
  test('that no request can carry is refused, without being shown', async () => {
    const { credentials, records } = await start()
    const core = fresh()
    const invalid = [
      '',
      ' ',
      '\t',
      `${core}\n`,
      `${core}\r\n`,
      `a\n${core}`,
      ` ${core}`,
      `${core} `,
      `${core}\u0000`,
      `\u001b${core}`,
      `${core}\u007f`,
      `${core}\u0085`,
    ]
    invalid.push(
      `{"open": ${core}\n`,
      `[\n"${core}"\n]`,
      `-----BEGIN X-----\n\u0000${core}`,
      'x'.repeat(MAX_FIELD_BYTES + 1),
    )
    for (const value of invalid) {
      const error: unknown = await credentials.add(echo(value), 'test').catch((caught: unknown) => caught)
      expect(error, JSON.stringify(value.slice(0, 80))).toMatchObject({ code: 'secret_invalid' })
      expect(inspect(error)).not.toContain(core)
    }
    const notText = new Secret('key', Uint8Array.of(0x61, 0xff, 0x62))
    await expect(credentials.add(echo('', { fields: { key: notText } }), 'test')).rejects.toMatchObject({
      code: 'secret_invalid',
    })
    await records.close()
  })

  test('that is a PEM block or a JSON object may have lines, and 64 KiB fit', async () => {
    const { credentials, records } = await start()
    const values = [
      `-----BEGIN X-----\r\n${fresh()}\r\n-----END X-----\r\n`,
      `{\n\t"a": "${fresh()}"\n}\n`,
      'x'.repeat(MAX_FIELD_BYTES),
      `ünï ${fresh()}`,
    ]
    for (const value of values) {
      const { id } = await credentials.add(echo(value), 'test')
      expect(textOf(credentials.current(id).fields['key'])).toBe(value)
    }
    await records.close()
  })

  test('of a secret field has at least 8 bytes, so that answers can be searched for it', async () => {
    const { credentials, records } = await start()
    await expect(credentials.add(echo('seven 7'), 'test')).rejects.toMatchObject({ code: 'secret_invalid' })
    await credentials.add(echo('eight 88'), 'test')
    await records.close()
  })

  test('comes back as it was given, whatever it is', async () => {
    const { credentials, records } = await start()
    const { id } = await credentials.add(echo(fresh()), 'test')
    const texts = fc
      .string({ unit: 'grapheme', minLength: 8, maxLength: 200 })
      .filter((text) => text.trim() === text && !/[\u0080-\u009f\u2028\u2029]/.test(text))
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        await credentials.set(id, fieldsOf({ key: text }), 'test')
        expect(textOf(credentials.current(id).fields['key'])).toBe(text)
      }),
      { numRuns: 40 },
    )
    await records.close()
  })
})

describe('the same secret', () => {
  test('is refused in another environment, naming where it stands and not the secret', async () => {
    const { credentials, records } = await start()
    const value = fresh()
    await credentials.add(echo(value, { name: 'first' }), 'test')
    await credentials.add(echo(value, { name: 'beside' }), 'test')
    const error: unknown = await credentials
      .add(echo(value, { environment: 'prod' }), 'test')
      .catch((caught: unknown) => caught)
    expect(error).toMatchObject({
      code: 'secret_reused',
      detail: expect.stringMatching(/(first|beside) in environment dev/),
    })
    expect(inspect(error)).not.toContain(value)
    const { id } = await credentials.add(echo(fresh(), { environment: 'prod' }), 'test')
    await expect(credentials.set(id, fieldsOf({ key: value }), 'test')).rejects.toMatchObject({ code: 'secret_reused' })
    const other = { service: 'cloud', environment: 'staging', fields: fieldsOf({ id: 'x', key: fresh(), pem: value }) }
    await expect(credentials.add(echo('', other), 'test')).rejects.toMatchObject({ code: 'secret_reused' })
    await records.close()
  })

  test('of two environments at once, one is refused', async () => {
    const { credentials, records } = await start()
    const value = fresh()
    const adding = ['dev', 'prod'].map((environment) => credentials.add(echo(value, { environment }), 'test'))
    expect((await Promise.allSettled(adding)).filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    await records.close()
  })

  test('is free again when its version is revoked or its credential removed, and is found after reopening', async () => {
    const { credentials, records, path } = await start()
    const [one, two] = [fresh(), fresh()]
    const { id } = await credentials.add(echo(one), 'test')
    const { id: removed } = await credentials.add(echo(two), 'test')
    await credentials.set(id, fieldsOf({ key: fresh() }), 'test')
    await credentials.add(echo(one, { environment: 'prod', name: 'moved' }), 'test')
    await credentials.remove(removed, 'test')
    await credentials.add(echo(two, { environment: 'prod' }), 'test')
    await records.close()
    const again = await home.openAt(path)
    const reopened = createCredentials({
      records: again.records,
      vault: again.vault,
      service: (id) => services.get(id),
      now: home.now,
      newId: home.newId,
    })
    await expect(reopened.add(echo(one, { environment: 'staging' }), 'test')).rejects.toMatchObject({
      code: 'secret_reused',
      detail: expect.stringContaining('moved'),
    })
    await again.records.close()
  })
})

describe('changing', () => {
  test('set makes a new current version, carries the other fields over and revokes the one before', async () => {
    const { credentials, records } = await start()
    const [key, pem, next] = [fresh(), fresh(), fresh()]
    const { id } = await credentials.add(
      echo('', { service: 'cloud', fields: fieldsOf({ id: 'one', key, pem }) }),
      'test',
    )
    const before = credentials.current(id)
    expect(await credentials.set(id, fieldsOf({ key: next }), 'test')).toEqual({ version: 2 })
    const { number, fields } = credentials.current(id)
    expect([number, fields['id'], textOf(fields['key']), textOf(fields['pem'])]).toEqual([2, 'one', next, pem])
    expect(textOf(before.fields['key'])).toBe(key)
    expect(await credentials.set(id, fieldsOf({ id: 'two' }), 'test')).toEqual({ version: 3 })
    expect(credentials.current(id).fields['id']).toBe('two')
    const states = [...records.all('version').values()].map(({ number, state }) => `${number} ${state}`).toSorted()
    expect(states).toEqual(['1 revoked', '2 revoked', '3 current'])
    await expect(credentials.set(id, {}, 'test')).rejects.toMatchObject({ code: 'usage' })
    await expect(credentials.set('never', fieldsOf({ key }), 'test')).rejects.toMatchObject({ code: 'not_found' })
    await records.close()
  })

  test('suspend takes effect at once, resume undoes it, remove ends it', async () => {
    const { credentials, records } = await start()
    const { id } = await credentials.add(echo(fresh()), 'test')
    credentials.current(id)
    await credentials.suspend(id, 'test')
    expect(() => credentials.current(id)).toThrow(expect.objectContaining({ code: 'credential_suspended' }))
    await credentials.resume(id, 'test')
    credentials.current(id)
    const body = { agentId: 'a', credentialId: id, allow: ['*'], deny: [], limits: {}, expiresAt: null, createdAt: 1 }
    await records.commit([{ table: 'grant', id: 'g', body }], { actor: 'test', action: 'grant' })
    await expect(credentials.remove(id, 'test')).rejects.toMatchObject({ code: 'still_in_use' })
    await credentials.remove(id, 'test', { cascade: true })
    expect(() => credentials.current(id)).toThrow(expect.objectContaining({ code: 'credential_missing' }))
    expect([records.all('version').size, records.all('grant').size, credentials.list()]).toEqual([0, 0, []])
    await records.close()
  })
})

test('reveal is journaled before it gives the secret, and gives nothing when it cannot be', async () => {
  const { credentials, records, anchor } = await start()
  const value = fresh()
  const { id } = await credentials.add(echo(value), 'test')
  expect((await credentials.reveal(id, 'key', 'person')).revealText()).toBe(value)
  expect(anchor.entries.filter(({ action }) => action === 'credential.reveal')).toHaveLength(1)
  await expect(credentials.reveal(id, 'nothing', 'person')).rejects.toMatchObject({ code: 'not_found' })
  records.attach({
    intent: () => Promise.reject(new KeywardError('journal_unwritable')),
    applied: async () => undefined,
  })
  await expect(credentials.reveal(id, 'key', 'person')).rejects.toMatchObject({ code: 'journal_unwritable' })
  await records.close()
})

test('no secret is printed by anything that holds it', async () => {
  const { credentials, records, vault, anchor } = await start()
  const value = fresh()
  const { id } = await credentials.add(echo(value), 'test')
  const version = credentials.current(id)
  const secret = version.fields['key']
  const everything = [
    version,
    secret,
    credentials,
    records,
    vault,
    anchor.entries,
    records.all('version'),
    new Error('x', { cause: version }),
  ]
  for (const each of everything) {
    const printed = [inspect(each, { depth: 20, showHidden: true, getters: true }), JSON.stringify(each), String(each)]
    const bytes = Buffer.from(value)
    for (const text of printed) {
      for (const needle of [value, bytes.toString('base64'), bytes.toString('hex'), bytes.toString('base64url')]) {
        expect(text ?? '').not.toContain(needle)
      }
    }
  }
  expect(`${secret instanceof Secret ? `${secret}` : ''}`).toMatch(/^\[secret .*\]$/)
  await records.close()
})
