import { VERSION } from '../../src/core/version.ts'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateIdentity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openHouse, own } from '../harness.ts'
import type { House, Outcome } from '../harness.ts'

/** Backup and restore as a person has them: real processes, real files. */

let house: House
let identity = ''
let recipient = ''
let identityFile = ''
const secret = randomBytes(24).toString('hex')
const hasAge = spawnSync('age', ['--version']).status === 0

beforeAll(async () => {
  house = openHouse()
  identity = await generateIdentity()
  recipient = await identityToRecipient(identity)
  identityFile = house.write('identity', `# made for this test\n${identity}\n`)
  const server = await house.up()
  await house.expectDone(['credential', 'add', 'openai', '--service', 'openai', '--stdin'], { input: secret })
  await house.expectDone(['agent', 'add', 'worker'])
  await house.expectDone(['session', 'issue', '--agent', 'worker', '--ttl', '1h'])
  const folder = join(house.work, 'backups')
  mkdirSync(folder, { mode: 0o700 })
  own(folder)
  await house.expectDone(['backup', '--to', 'backups', '--recipient', recipient])
  await server.stop()
})
afterAll(() => house.close())

const backups = (): string[] => readdirSync(join(house.work, 'backups')).toSorted()
const first = (): string => join('backups', backups()[0] ?? '')

/** What a person is told: a code on a terminal of programs, a sentence, and what to do next. */
function expectRefused({ code, err }: Outcome, sentence: RegExp, exit = 1): void {
  expect(code, err).toBe(exit)
  expect(err).toMatch(sentence)
  expect(err).toMatch(/\nnext: \S.+\n/)
}

const elsewhere = (name: string): Record<string, string> => ({
  KEYWARD_HOME: join(house.folder, name),
  KEYWARD_ROOT_KEY_FILE: house.rootKeyFile,
})

test('of a running server: one private file, which says what it is, and verifies', async () => {
  expect(backups()).toHaveLength(1)
  expect(statSync(join(house.work, first())).mode & 0o777).toBe(0o600)
  const verified = JSON.parse(
    await house.expectDone(['backup', 'verify', first(), '--identity', identityFile, '--json']),
  )
  expect(verified).toMatchObject({ whole: true, proven: true, node: 'node-1', version: VERSION })
  expect(first()).toContain(verified.sha256)
  // Without the root key it is whole, and nobody can say whose.
  const variables = { KEYWARD_ROOT_KEY_FILE: join(house.folder, 'no-key') }
  const unproven = JSON.parse(
    await house.expectDone(['backup', 'verify', first(), '--identity', identityFile, '--json'], { variables }),
  )
  expect(unproven).toMatchObject({ whole: true, proven: false })
})

test.skipIf(!hasAge)('the program age opens it, and finds neither secret nor root key', () => {
  const { stdout, status } = spawnSync('age', ['-d', '-i', identityFile, join(house.work, first())], {
    maxBuffer: 64 * 1024 * 1024,
  })
  expect(status).toBe(0)
  expect(stdout.subarray(0, 18).toString()).toBe('keyward-backup/v1\n')
  const rootKey = readFileSync(house.rootKeyFile, 'utf8').split(':')[2] ?? 'missing'
  for (const form of [
    secret,
    Buffer.from(secret).toString('base64'),
    rootKey,
    Buffer.from(rootKey, 'base64url').toString('hex'),
  ])
    expect(stdout.includes(form)).toBe(false)
})

test(
  'of a stopped home, with a passphrase; then the home is lost, and comes back without its sessions',
  { timeout: 120_000 },
  async () => {
    const words = house.write('passphrase', `${randomBytes(12).toString('hex')}\n`)
    await house.expectDone(['backup', '--to', 'stopped.age', '--passphrase-file', words])
    renameSync(house.home, `${house.home}.lost`)
    const asked = await house.keyward(['restore', 'stopped.age', '--passphrase-file', words])
    expectRefused(asked, /brings an old state back/)
    expect(existsSync(house.home)).toBe(false)

    const newer = join(`${house.home}.lost`, 'journal', 'node-1')
    const restore = [
      'restore',
      'stopped.age',
      '--passphrase-file',
      words,
      '--accept-rollback',
      '--newer-journal',
      newer,
    ]
    const { code, out, err } = await house.keyward(restore)
    expect(code, err).toBe(0)
    expect(out).toContain('1 ended')
    expectRefused(await house.keyward(restore), /something already in the place/)

    const server = await house.up()
    expect(await house.expectDone(['credential', 'list'])).toContain('openai')
    expect(JSON.parse(await house.expectDone(['session', 'list', '--all', '--json']))).toEqual([])
    expect(await house.expectDone(['journal', 'verify'])).toContain('sound')
    expect(await house.expectDone(['journal', 'search', '--kind', 'restore'])).toMatch(/actor=operator:/)
    // And from there on as ever: a further backup, and only that one stays.
    await house.expectDone([
      'backup',
      '--to',
      'backups',
      '--recipients-file',
      house.write('recipients', `# ours\n${recipient}\n`),
      '--keep',
      '1',
    ])
    expect(backups()).toHaveLength(1)
    await house.expectDone(['backup', 'verify', first(), '--identity', identityFile])
    await server.stop()
  },
)

describe('what cannot be done is said, with what to do next, and leaves nothing', () => {
  const nothingIn = (name: string): void => {
    const home = join(house.folder, name)
    expect(existsSync(home) ? readdirSync(home) : []).toEqual([])
  }
  const restore = (file: string, name: string, more: string[] = ['--identity', identityFile]): Promise<Outcome> =>
    house.keyward(['restore', file, '--accept-rollback', ...more], { variables: elsewhere(name) })

  test('files that are none, cut, changed, or for somebody else', async () => {
    const bytes = readFileSync(join(house.work, first()))
    const cut = house.write('cut.age', bytes.subarray(0, -100))
    const changed = Buffer.from(bytes)
    changed[bytes.length - 500] = (changed[bytes.length - 500] ?? 0) ^ 1
    const stranger = house.write('stranger', `${await generateIdentity()}\n`)
    expectRefused(await restore(cut, 'one'), /not as it was written/)
    expectRefused(await restore(house.write('changed.age', changed), 'one'), /not as it was written/)
    expectRefused(await restore(house.write('text.age', 'hello'), 'one'), /not an age file/)
    expectRefused(await restore(first(), 'one', ['--identity', stranger]), /No key that was given opens/)
    expectRefused(await restore('missing.age', 'one'), /cannot be opened/, 2)
    expectRefused(await restore('backups', 'one'), /A backup is a file/, 2)
    expectRefused(await restore('/dev/zero', 'one'), /A backup is a file/, 2)
    expectRefused(await restore(first(), 'one', []), /Say what opens it/, 2)
    nothingIn('one')
  })

  test('the root key of another home', async () => {
    const other = openHouse()
    const server = await other.up()
    await server.stop()
    const key = house.write('other-key', readFileSync(other.rootKeyFile))
    await other.close()
    const variables = { ...elsewhere('two'), KEYWARD_ROOT_KEY_FILE: key }
    expectRefused(
      await house.keyward(['restore', first(), '--accept-rollback', '--identity', identityFile], { variables }),
      /root key/i,
    )
    nothingIn('two')
    expectRefused(
      await house.keyward(['backup', 'verify', first(), '--identity', identityFile], { variables }),
      /root key/i,
    )
  })

  test('a home that is somebody’s folder', async () => {
    const folder = join(house.folder, 'three')
    mkdirSync(folder, { mode: 0o700 })
    writeFileSync(join(folder, 'thesis.txt'), 'years of work')
    own(folder)
    expectRefused(await restore(first(), 'three'), /neither empty nor a home/, 2)
    expect(readdirSync(folder)).toEqual(['thesis.txt'])
  })

  test('a target that is there, a link, a device, or full; no recipient; a retention without a folder', async () => {
    const before = readdirSync(house.work).toSorted()
    const backup = (...args: string[]): Promise<Outcome> => house.keyward(['backup', '--recipient', recipient, ...args])
    expectRefused(await backup('--to', 'stopped.age'), /there already/)
    expectRefused(await backup('--to', '/dev/full'), /neither a file nor a folder/)
    expectRefused(await backup('--to', 'x.age', '--keep', '3'), /folder of backups/, 2)
    expectRefused(await house.keyward(['backup']), /Say for whom it is/, 2)
    expectRefused(await house.keyward(['backup', '--recipient', 'age1nobody', '--to', 'x.age']), /age1…/, 2)
    const server = await house.up()
    const full = await house.keyward(['backup', '--recipient', recipient, '--to', 'full.age'], {
      before: ['prlimit', '--fsize=4096'],
    })
    expectRefused(full, /could not be written to its end/)
    await server.stop()
    expect(readdirSync(house.work).toSorted()).toEqual(before)
  })
})

test('nothing that any of this said or wrote holds the secret, or the identity', () => {
  for (const { command, bytes } of house.outputs) {
    expect(bytes.includes(secret), command).toBe(false)
    expect(bytes.includes(identity), command).toBe(false)
  }
})
