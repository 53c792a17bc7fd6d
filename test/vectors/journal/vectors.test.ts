import { Buffer } from 'node:buffer'
import { createPublicKey } from 'node:crypto'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeReport, verifyJournal } from '../../../src/journal/verify.ts'
import { cases, generate } from './generate.ts'

const vectors = import.meta.dirname
const publicKey = createPublicKey(readFileSync(join(vectors, 'public-key.pem')))
let home: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'keyward-vectors-'))
})

afterEach(() => rmSync(home, { recursive: true }))

const verify = (name: string) => verifyJournal({ directory: join(vectors, name), publicKey })
const listing = (root: string): string[] =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    .toSorted()

describe('the vectors of the journal', () => {
  it('are what today’s code writes, byte for byte', async () => {
    await generate(home)
    expect(listing(home)).toEqual(listing(vectors))
    for (const name of listing(home))
      expect(readFileSync(join(home, name)).equals(readFileSync(join(vectors, name))), name).toBe(true)
  })

  for (const { name, why, expected } of cases) {
    it(`${name}: ${why}`, async () => {
      const report = await verify(name)
      expect(report).toMatchObject(expected)
      expect(report.problem === null).toBe(report.ok)
      expect(describeReport(report).join('\n')).toContain(`Proven up to ${expected.provenTo}`)
    })
  }

  it('a torn tail is told', async () => {
    expect((await verify('torn-tail')).tornTail).toEqual({ file: '00000002.jsonl', bytes: 11 })
  })

  it('a head that was kept elsewhere finds what was cut off, and what was rewritten', async () => {
    const { root } = await verify('good')
    const anchor = { size: 8, root }
    const against = (name: string) => verifyJournal({ directory: join(vectors, name), publicKey, anchor })
    expect(await against('good')).toMatchObject({ ok: true })
    expect(await against('truncated-unsigned')).toMatchObject({
      ok: false,
      problem: { code: 'truncated', sequence: 8 },
    })
    expect(
      await verifyJournal({ directory: join(vectors, 'good'), publicKey, anchor: { size: 7, root } }),
    ).toMatchObject({ problem: { code: 'anchor_mismatch' } })
    expect(await verifyJournal({ directory: join(vectors, 'good'), publicKey, origin: 'keyward/other' })).toMatchObject(
      { problem: { code: 'checkpoint_foreign' } },
    )
  })

  it('no single byte of an entry or a checkpoint can be changed without being noticed', async () => {
    const directory = join(home, 'good')
    cpSync(join(vectors, 'good'), directory, { recursive: true })
    const files = ['00000001.jsonl', '00000002.jsonl', 'checkpoints'].map((file) => {
      const path = join(directory, file)
      return { path, bytes: readFileSync(path) }
    })
    await fc.assert(
      fc.asyncProperty(fc.nat(2), fc.nat(), fc.integer({ min: 1, max: 255 }), async (which, where, flip) => {
        const file = files[which]
        if (file === undefined) throw new Error('unreachable')
        const bytes = Buffer.from(file.bytes)
        // The very last newline gone is a torn tail, and as such allowed.
        const index = where % (bytes.length - 1)
        bytes.writeUInt8(bytes.readUInt8(index) ^ flip, index)
        writeFileSync(file.path, bytes)
        const { ok, tornTail } = await verifyJournal({ directory, publicKey })
        writeFileSync(file.path, file.bytes)
        expect(ok && tornTail === null, `${file.path} byte ${index}`).toBe(false)
      }),
      { numRuns: 400 },
    )
  })
})
