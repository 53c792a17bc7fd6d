import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { canonicalJson } from '../../core/canonical-json.ts'
import { KeywardError } from '../../core/errors.ts'
import { searchJournal } from '../../journal/search.ts'
import { openSqliteStore } from '../../stores/sqlite.ts'
import { storeSchema } from '../../stores/store.ts'
import { fileRootKey } from '../fixture.ts'
import { keptRestoration } from '../restoration.ts'
import { writeContents } from './contents.ts'
import type { BackupHead } from './contents.ts'
import { readContainer, writeContainer } from './container.ts'
import type { Part } from './container.ts'
import { backupHomes, collect, sourceOf } from './fixture.ts'
import { inspectBackup } from './inspect.ts'

const homes = backupHomes('engine')
afterAll(() => homes.remove())

type Home = Awaited<ReturnType<typeof homes.open>>

async function filled(name: string): Promise<{ home: Home; secret: string; id: string }> {
  const home = await homes.open(name)
  const secret = randomBytes(24).toString('hex')
  const about = { environment: 'dev', service: 'echo', owner: null, sensitivity: 'high' } as const
  const { id } = await home.credentials.add({ ...about, name: 'openai', fields: homes.secret(secret) }, 'ann')
  const body = { name: 'triage', environment: 'dev', owner: null, state: 'active' as const, createdAt: 1 }
  await home.records.commit([{ table: 'agent', id: 'a1', body }], { actor: 'ann', action: 'agent.add' })
  await home.records.commit([{ table: 'session', id: 's1', body: session('a1') }], {
    actor: 'ann',
    action: 'session.issue',
  })
  for (let count = 0; count < 50; count += 1)
    await home.journal.append({ kind: 'egress', host: `h${count}.example.test` })
  return { home, secret, id }
}

const session = (agentId: string) => ({
  agentId,
  environment: 'dev',
  tokenHash: 'x',
  placeholders: [],
  egress: 'deny' as const,
  binding: { kind: 'unbound' as const },
  state: 'active' as const,
  createdAt: 1,
  expiresAt: 2,
})

async function backupOf(home: Home, journal = true): Promise<Buffer> {
  const { bytes } = await home.backups.make({ journal }, 'ann')
  return collect(bytes)
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof KeywardError ? error.code : String(error)),
  )

const inspect = (bytes: Buffer) => inspectBackup(sourceOf(bytes), homes.keysOf())

/** What must come back byte for byte: all but sessions, settings, and the listings that name them. */
async function lasting(path: string): Promise<string[]> {
  const store = await openSqliteStore(path)
  const rows = await store.load()
  await store.close()
  return rows
    .filter(({ table }) => !table.startsWith('_') && table !== 'session' && table !== 'setting')
    .map(({ table, id, seq, body, mac }) => JSON.stringify([table, id, seq, body, Buffer.from(mac).toString('hex')]))
    .toSorted()
}

async function* partsOf(bytes: Buffer): AsyncGenerator<Part> {
  let pieces: Buffer[] = []
  for await (const event of readContainer(sourceOf(bytes))) {
    if (event.kind === 'piece') pieces.push(event.bytes)
    if (event.kind !== 'end') continue
    yield { name: event.digest.name, content: pieces }
    pieces = []
  }
}

test('a backup comes back: records byte for byte, the secret, the journal, and nothing that was alive', async () => {
  const { home, secret, id } = await filled('from')
  const bytes = await backupOf(home)
  await home.close()
  expect(bytes.includes(secret)).toBe(false)

  const { contents, held } = await inspect(bytes)
  expect(contents).toMatchObject({ node: 'node-1', version: 'test', schema: storeSchema })
  expect(contents.heads).toEqual([expect.objectContaining({ node: 'node-1', inside: true })])
  expect(held?.records.get('credential', id)?.name).toBe('openai')

  const done = await homes.restore('to', bytes)
  expect(done.sessionsEnded).toBe(1)
  expect(await lasting(join(homes.folder, 'to', 'keyward.db'))).toEqual(
    await lasting(join(homes.folder, 'from', 'keyward.db')),
  )
  expect(readdirSync(join(homes.folder, 'to')).filter((name) => name === 'restoring')).toEqual([])

  const back = await homes.open('to')
  expect(back.records.all('session').size).toBe(0)
  expect((await back.credentials.reveal(id, 'key', 'ann')).revealText()).toBe(secret)
  expect(keptRestoration(back.records)).toMatchObject({ id: done.restoration, epoch: contents.epoch })
  const told = []
  for await (const { event } of searchJournal({ directory: join(back.journalDirectory, 'node-1'), kind: 'restore' }))
    told.push(event)
  expect(told).toEqual([
    expect.objectContaining({ actor: 'test', id: contents.id, manifest: done.manifest, epoch: contents.epoch }),
  ])
  await back.close()
  // And the next start holds as well.
  await (await homes.open('to')).close()
})

test('without the journal a new one begins, and the next start holds', async () => {
  const { home, id, secret } = await filled('short')
  const bytes = await backupOf(home, false)
  await home.close()
  expect((await inspect(bytes)).contents.parts.map(({ name }) => name)).toEqual(['records'])
  await homes.restore('short-back', bytes)
  const back = await homes.open('short-back')
  expect((await back.credentials.reveal(id, 'key', 'ann')).revealText()).toBe(secret)
  await back.close()
})

test('another name of the node: the old journal stands beside, and a backup of that has both', async () => {
  const { home } = await filled('named')
  const bytes = await backupOf(home)
  await home.close()
  await homes.restore('renamed', bytes, { node: 'node-2' })
  const back = await homes.open('renamed', { node: 'node-2' })
  expect(readdirSync(back.journalDirectory).toSorted()).toEqual(['node-1', 'node-2'])
  const again = await backupOf(back)
  await back.close()
  const { contents } = await inspect(again)
  expect(contents.heads.map(({ node, inside }) => `${node} ${inside}`)).toEqual(['node-1 true', 'node-2 true'])
  await homes.restore('renamed-again', again, { node: 'node-2' })
})

test('what is written while the backup is read is not in it, and both stay whole', async () => {
  const { home } = await filled('busy')
  const { bytes } = await home.backups.make({ journal: true }, 'ann')
  const pieces: Buffer[] = []
  for await (const piece of bytes) {
    pieces.push(piece)
    await home.records.commit([], { actor: 'ann', action: 'nothing' })
  }
  const { contents } = await inspect(Buffer.concat(pieces))
  expect(contents.epoch).toBeLessThan(home.records.epoch)
  await homes.restore('busy-back', Buffer.concat(pieces))
  await (await homes.open('busy-back')).close()
  await home.close()
})

describe('the journal of the home that is backed up', () => {
  test('says so before the first byte, when it is made, and which file came of it', async () => {
    const { home } = await filled('told')
    const entries = async () => {
      const found = []
      for await (const { event } of searchJournal({
        directory: join(home.journalDirectory, 'node-1'),
        kind: 'backup',
        order: 'oldest',
      }))
        found.push(event)
      return found
    }
    const { id, bytes } = await home.backups.make({ journal: true }, 'ann')
    expect(await entries()).toEqual([{ kind: 'backup', action: 'begin', actor: 'ann', id, journal: true }])
    const all = await collect(bytes)
    const { manifest, contents } = await inspect(all)
    expect((await entries())[1]).toEqual({
      kind: 'backup',
      action: 'made',
      actor: 'ann',
      id,
      epoch: contents.epoch,
      manifest,
    })
    const sha256 = 'a'.repeat(64)
    const { name } = await home.backups.keep(id, { sha256, bytes: 7 }, 'ann')
    expect((await entries())[2]).toMatchObject({ action: 'kept', id, sha256, bytes: 7 })
    expect(home.backups.recognise([name, name.replace('keyward-', 'keyward_'), `../${name}`])).toEqual([
      expect.objectContaining({ name, sha256, epoch: contents.epoch }),
    ])
    const other = name.replace(/-[0-9a-f]{32}\.age$/, `-${'0'.repeat(32)}.age`)
    expect(home.backups.recognise([other])).toEqual([])
    expect(await codeOf(home.backups.keep(id, { sha256, bytes: 7 }, 'ann'))).toBe('not_found')

    const { bytes: broken } = await home.backups.make({ journal: true }, 'ann')
    await broken.next()
    await broken.return(undefined)
    expect((await entries()).at(-1)).toMatchObject({ action: 'broken_off' })
    await home.close()
  })

  test('at most two are made at a time, and one that was broken off makes room', async () => {
    const { home } = await filled('crowd')
    const [one, two] = [
      await home.backups.make({ journal: true }, 'a'),
      await home.backups.make({ journal: true }, 'b'),
    ]
    expect(await codeOf(home.backups.make({ journal: true }, 'c'))).toBe('overloaded')
    await one.bytes.next()
    await one.bytes.return(undefined)
    expect(await codeOf(home.backups.make({ journal: true }, 'c'))).toBe('done')
    await collect(two.bytes)
    await home.close()
  })
})

describe('what is not as it was written is refused before anything is there', () => {
  const empty = (name: string): boolean => {
    const folder = join(homes.folder, name)
    return !existsSync(join(folder, 'journal')) && !existsSync(join(folder, 'restoring'))
  }

  test('any single byte, in every part', async () => {
    const { home } = await filled('flipped')
    const bytes = await backupOf(home)
    await home.close()
    const refused = new Set<string>()
    const step = Math.max(1, Math.floor(bytes.length / 400))
    for (let at = 0; at < bytes.length; at += step) {
      const other = Buffer.from(bytes)
      other[at] = (other[at] ?? 0) ^ 0x10
      const code = await codeOf(inspectBackup(sourceOf(other), homes.keysOf()))
      expect(code, `byte ${at}`).toMatch(
        /^(backup_damaged|backup_foreign|backup_newer|journal_damaged|vault_damaged|root_key_wrong)$/,
      )
      refused.add(code)
    }
    expect(refused.has('backup_damaged')).toBe(true)
  })

  test('cut anywhere, or with something behind it', async () => {
    const { home } = await filled('cut')
    const bytes = await backupOf(home)
    await home.close()
    for (let length = 0; length < bytes.length; length += Math.max(1, Math.floor(bytes.length / 200)))
      expect(await codeOf(inspect(bytes.subarray(0, length))), `cut at ${length}`).toMatch(
        /^(backup_damaged|journal_damaged)$/,
      )
    expect(await codeOf(inspect(Buffer.concat([bytes, Buffer.from([0])])))).toBe('backup_damaged')
    expect(await codeOf(homes.restore('cut-back', bytes.subarray(0, -1)))).toBe('backup_damaged')
    expect(empty('cut-back')).toBe(true)
  })

  test('parts that were put together by somebody else', async () => {
    const one = await filled('one')
    const first = await backupOf(one.home)
    await one.home.credentials.add(
      {
        name: 'other',
        environment: 'dev',
        service: 'echo',
        owner: null,
        sensitivity: 'low',
        fields: homes.secret('another-secret-value'),
      },
      'ann',
    )
    const second = await backupOf(one.home)
    await one.home.close()
    /** As an outsider would: all hashes right, and the MAC of the first manifest. */
    const mixed = async (change: (name: string, content: Buffer) => Buffer): Promise<Buffer> => {
      let last = ''
      async function* changed(): AsyncGenerator<Part> {
        for await (const { name, content } of partsOf(first)) {
          const whole = Buffer.concat([...(Array.isArray(content) ? content : [])])
          if (name === 'manifest') last = whole.toString()
          else yield { name, content: [change(name, whole)] }
        }
      }
      return collect(
        writeContainer(changed(), (digests) => {
          const [text = '', mac = ''] = last.split('\n')
          return `${canonicalJson({ ...JSON.parse(text), parts: digests.map((part) => ({ ...part })) })}\n${mac}\n`
        }),
      )
    }
    let theirs = Buffer.alloc(0)
    for await (const { name, content } of partsOf(second))
      if (name === 'records') theirs = Buffer.concat([...(Array.isArray(content) ? content : [])])
    expect(await codeOf(inspect(await mixed((_, content) => content)))).toBe('done')
    const exchanged = await mixed((name, content) => (name === 'records' ? theirs : content))
    expect(await codeOf(inspect(exchanged))).toBe('backup_foreign')
    const line =
      theirs
        .toString()
        .split('\n')
        .find((row) => row.startsWith('["credential"')) ?? ''
    const added = await mixed((name, content) =>
      name === 'records' ? Buffer.concat([content, Buffer.from(`${line}\n`)]) : content,
    )
    expect(await codeOf(inspect(added))).toBe('backup_foreign')
  })

  test('a journal that is not the one of its head, though whoever made it had every key', async () => {
    const { home } = await filled('mistaken')
    const bytes = await backupOf(home)
    const key = home.vault.macKey('backup')
    await home.close()
    const { contents } = await inspect(bytes)
    const remade = (change: (head: BackupHead) => BackupHead): Promise<Buffer> => {
      async function* parts(): AsyncGenerator<Part> {
        for await (const part of partsOf(bytes)) if (part.name !== 'manifest') yield part
      }
      const heads = contents.heads.map(change)
      return collect(writeContainer(parts(), (digests) => writeContents({ ...contents, heads, parts: digests }, key)))
    }
    expect(await codeOf(inspect(await remade((head) => head)))).toBe('done')
    for (const wrong of [
      { size: 3 },
      { root: Buffer.alloc(32).toString('base64') },
      { inside: false },
      { node: 'node-9' },
    ])
      expect(await codeOf(inspect(await remade((head) => ({ ...head, ...wrong })))), JSON.stringify(wrong)).toBe(
        'backup_damaged',
      )
  })

  test('another root key', async () => {
    const { home } = await filled('foreign')
    const bytes = await backupOf(home)
    await home.close()
    expect(await codeOf(inspectBackup(sourceOf(bytes), homes.keysOf(fileRootKey('somebody else'))))).toBe(
      'root_key_wrong',
    )
    expect((await inspectBackup(sourceOf(bytes), null)).held).toBeNull()
  })

  test.each([
    'journal/../../etc/passwd',
    'journal/node-1/../../../x.jsonl',
    '/etc/passwd',
    'journal/node-1/00000001.jsonl/x',
    'journal/Node/00000001.jsonl',
    'journal//00000001.jsonl',
    'records\0',
  ])('a part named %j', async (name) => {
    async function* parts(): AsyncGenerator<Part> {
      yield { name, content: [Buffer.from('x')] }
    }
    expect(await codeOf(inspect(await collect(writeContainer(parts(), () => '{}\n\n'))))).toBe('backup_damaged')
  })

  test('a piece that says that it is larger than any may be is not waited for', async () => {
    const huge = Buffer.concat([
      Buffer.from('keyward-backup/v1\n'),
      Buffer.from([0, 0, 0, 7]),
      Buffer.from('records'),
      Buffer.from([0xff, 0xff, 0xff, 0xff]),
    ])
    let asked = 0
    async function* endless(): AsyncGenerator<Buffer> {
      yield huge
      for (;;) {
        asked += 1
        yield Buffer.alloc(1024)
      }
    }
    expect(await codeOf(inspectBackup(endless(), homes.keysOf()))).toBe('backup_damaged')
    expect(asked).toBe(0)
  })

  test('a later format, and records of a later schema', async () => {
    expect(await codeOf(inspect(Buffer.from('keyward-backup/v2\n')))).toBe('backup_newer')
    async function* parts(): AsyncGenerator<Part> {
      yield { name: 'records', content: [Buffer.alloc(0)] }
    }
    expect(
      await codeOf(
        inspectBackup(sourceOf(await collect(writeContainer(parts(), () => '{"schema":999}\nAA==\n'))), null),
      ),
    ).toBe('backup_newer')
  })
})

describe('what is there already stays', () => {
  test('a store, or a journal', async () => {
    const { home } = await filled('full')
    const bytes = await backupOf(home)
    await home.close()
    const before = readFileSync(join(homes.folder, 'full', 'keyward.db'))
    expect(await codeOf(homes.restore('full', bytes))).toBe('restore_occupied')
    expect(readFileSync(join(homes.folder, 'full', 'keyward.db')).equals(before)).toBe(true)
    await (await homes.open('full')).close()
    const journal = join(homes.folder, 'only-journal', 'journal')
    await (await homes.open('only-journal')).close()
    for (const name of ['keyward.db', 'keyward.db-wal', 'keyward.db-shm']) {
      const path = join(homes.folder, 'only-journal', name)
      if (existsSync(path)) writeFileSync(path, '')
    }
    expect(await codeOf(homes.restore('only-journal', bytes))).toBe('restore_occupied')
    expect(existsSync(journal)).toBe(true)
  })
})

test('what came back to life is told from a newer journal', async () => {
  const { home, id } = await filled('lost')
  const bytes = await backupOf(home)
  await home.credentials.suspend(id, 'bob')
  await home.records.commit(
    [
      {
        table: 'agent',
        id: 'a1',
        body: { name: 'triage', environment: 'dev', owner: null, state: 'suspended', createdAt: 1 },
      },
    ],
    { actor: 'bob', action: 'agent.suspend' },
  )
  const about = { name: 'later', environment: 'dev', service: 'echo', owner: null, sensitivity: 'low' } as const
  await home.credentials.add({ ...about, fields: homes.secret('a-value-of-later') }, 'bob')
  await home.close()
  const directory = join(homes.folder, 'lost', 'journal', 'node-1')
  const { undone } = await homes.restore('found', bytes, { newer: { directory, node: 'node-1' } })
  expect(undone?.cameBack.map(({ kind, name, action, actor }) => `${kind} ${name} ${action} ${actor}`)).toEqual([
    'credential dev/openai credential.suspend bob',
    'agent dev/triage agent.suspend bob',
  ])
  expect(undone?.gone).toBe(2)
  // A journal that is another one, or was changed, tells nothing.
  const other = await filled('other-home')
  await other.home.close()
  const foreign = { directory: join(homes.folder, 'other-home', 'journal', 'node-1'), node: 'node-1' }
  expect(await codeOf(homes.restore('found-not', bytes, { newer: foreign }))).toBe('journal_damaged')
})

test('a node that saw more than the backup held is told, and goes on when its operator accepts', async () => {
  const { home } = await filled('cluster')
  const bytes = await backupOf(home)
  await home.close()
  const node = 'node-2'
  const second = await homes.open('cluster', { node, isShared: true })
  for (let count = 0; count < 3; count += 1) await second.records.commit([], { actor: 'ann', action: 'nothing' })
  const seen = second.records.epoch
  await second.close()

  const { epoch } = await homes.restore('cluster-back', bytes)
  expect(epoch).toBeLessThan(seen)
  // The restored store goes on, past all that the other node had seen: its epoch alone does not show it.
  const back = await homes.open('cluster-back')
  while (back.records.epoch <= seen) await back.records.commit([], { actor: 'ann', action: 'nothing' })
  await back.close()
  homes.copy('cluster/journal/node-2', 'cluster-back/journal/node-2')
  expect(await codeOf(homes.open('cluster-back', { node, isShared: true }))).toBe('store_rolled_back')
  await (await homes.open('cluster-back', { node, isShared: true, accepts: true })).close()
  await (await homes.open('cluster-back', { node, isShared: true })).close()

  // One that was not ahead of the backup has nothing to accept.
  await homes.restore('cluster-third', bytes)
  await (await homes.open('cluster-third', { node: 'node-3', isShared: true })).close()
})
