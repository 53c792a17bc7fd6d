/**
 * Writes the vectors of the journal's format: `node test/vectors/journal/generate.ts`. The key is made
 * from a public phrase, so that the same bytes come out every time; it protects nothing.
 */
import { Buffer } from 'node:buffer'
import { createPrivateKey, createPublicKey, hash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkpointKey, originOf, signCheckpoint } from '../../../src/journal/checkpoint.ts'
import { encodeEvent } from '../../../src/journal/event.ts'
import type { JournalEvent } from '../../../src/journal/event.ts'
import { entryBody, entryHash, parseEntry, sealTail } from '../../../src/journal/entry.ts'
import { files } from '../../../src/journal/files.ts'
import { MerkleTree } from '../../../src/journal/merkle.ts'
import { recoverJournal } from '../../../src/journal/recover.ts'
import type { JournalProblemCode } from '../../../src/journal/verify.ts'
import { JournalWriter } from '../../../src/journal/writer.ts'

const PHRASE = 'keyward journal vectors'
const PKCS8_OF_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')

function keyFrom(phrase: string) {
  const seed = hash('sha256', phrase, 'buffer')
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_OF_ED25519, seed]), format: 'der', type: 'pkcs8' })
  return { privateKey, publicKey: createPublicKey(privateKey) }
}

const own = keyFrom(PHRASE)
const foreign = keyFrom(`${PHRASE}, somebody else's`)
const origin = originOf('vector')

const events: readonly JournalEvent[] = [
  { kind: 'start', version: '0.1.0', epoch: 1 },
  { kind: 'control', actor: 'uid:1000', action: 'credential.add', rows: ['credential/a', 'version/b'], epoch: 2 },
  { kind: 'applied', epoch: 2 },
  {
    kind: 'intent',
    agent: 'triage',
    environment: 'prod',
    credential: 'echo',
    version: 1,
    operation: 'things.list',
    decision: 'allow',
  },
  {
    kind: 'outcome',
    agent: 'triage',
    environment: 'prod',
    status: 200,
    latencyMilliseconds: 12.5,
    text: 'ü 💥 "\\ \u0007 \u202e',
  },
  { kind: 'refusal', agent: 'triage', environment: 'prod', decision: 'deny', code: 'operation_denied', rule: null },
  { kind: 'egress', host: 'example.test', tunnel: true },
  { kind: 'stop', epoch: 2 },
]

/** Eight entries in two segments; signed at 3 (asked for), 5 (rotation) and 6; 7 and 8 are chained only. */
async function writeGood(directory: string): Promise<void> {
  const key = checkpointKey(origin, own.publicKey)
  const end = await recoverJournal(directory, key, { anchor: null, prunedTo: null })
  const writer = new JournalWriter({ directory, key, privateKey: own.privateKey, files, segmentBytes: 1400 }, end)
  for (const [index, event] of events.entries()) {
    writer.append([entryBody(1_790_000_000_000 + index * 1000, encodeEvent(event))], () => {})
    if (index === 2 || index === 5) await writer.sync(true)
  }
  writer.close()
}

export interface Expected {
  readonly ok: boolean
  readonly entries?: number
  readonly provenTo: number
  readonly problem?: { readonly code: JournalProblemCode; readonly sequence: number; readonly file: string }
}

interface Case {
  readonly name: string
  readonly expected: Expected
  readonly why: string
  readonly change: (directory: string) => void
}

const FIRST = '00000001.jsonl'
const SECOND = '00000002.jsonl'

function edit(file: string, change: (text: string) => string): (directory: string) => void {
  return (directory) => {
    const path = join(directory, file)
    const text = readFileSync(path, 'utf8')
    const changed = change(text)
    if (changed === text) throw new Error(`nothing changed in ${path}`)
    writeFileSync(path, changed)
  }
}

function editLines(file: string, change: (lines: string[]) => string[]): (directory: string) => void {
  return edit(file, (text) =>
    change(text.split('\n').slice(0, -1))
      .map((line) => `${line}\n`)
      .join(''),
  )
}

/** Somebody who knows the format: changes one entry and writes every later hash anew. */
function rewriteFrom(sequence: number, change: (body: string) => string): (directory: string) => void {
  return (directory) => {
    let previous = ''
    const rewrite = (line: string): string => {
      const entry = parseEntry(Buffer.from(line))
      if (entry === null) throw new Error('the good vector is not good')
      if (entry.sequence < sequence) {
        previous = entry.hash
        return line
      }
      const body = bodyOf(line)
      const changed = entry.sequence === sequence ? change(body) : body
      const sealed = seal(changed, previous, entry.sequence)
      previous = parseEntry(Buffer.from(sealed))?.hash ?? ''
      return sealed
    }
    for (const file of [FIRST, SECOND]) {
      const path = join(directory, file)
      const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
      writeFileSync(path, `${lines.map(rewrite).join('\n')}\n`)
    }
  }
}

/** Somebody who does not: changes one entry and writes only its own hash anew. */
function replaceOne(sequence: number, change: (body: string) => string): (directory: string) => void {
  return editLines(SECOND, (lines) =>
    lines.map((line) => {
      const entry = parseEntry(Buffer.from(line))
      return entry?.sequence === sequence ? seal(change(bodyOf(line)), entry.previous, sequence) : line
    }),
  )
}

function bodyOf(line: string): string {
  return line.slice(0, line.lastIndexOf(',"hash":"'))
}

function seal(body: string, previous: string, sequence: number): string {
  return body + sealTail(entryHash(Buffer.from(body), previous, sequence), previous, sequence)
}

function swapNotes(text: string): string {
  const notes = text.match(/(?:.*\n){5}/g) ?? []
  return [notes[1], notes[0], notes[2]].join('')
}

/** The last checkpoint with the true root, signed by another key under the same name. */
function signByForeign(directory: string): void {
  const tree = new MerkleTree()
  const lines = [FIRST, SECOND].flatMap((file) => readFileSync(join(directory, file), 'utf8').split('\n').slice(0, -1))
  for (const line of lines.slice(0, 6)) tree.append(parseEntry(Buffer.from(line))?.hash ?? '')
  const { note } = signCheckpoint(checkpointKey(origin, foreign.publicKey), foreign.privateKey, 6, tree.root())
  edit('checkpoints', (text) => (text.match(/(?:.*\n){5}/g) ?? []).slice(0, 2).join('') + note)(directory)
}

function good(entries: number, provenTo: number): Expected {
  return { ok: true, entries, provenTo }
}

function bad(code: JournalProblemCode, sequence: number, file: string, provenTo: number): Expected {
  return { ok: false, provenTo, problem: { code, sequence, file } }
}

export const cases: readonly Case[] = [
  { name: 'good', expected: good(8, 6), why: 'as it was written', change: () => {} },
  {
    name: 'torn-tail',
    expected: good(8, 6),
    why: 'the last line was never finished',
    change: edit(SECOND, (text) => `${text}{"at":17900`),
  },
  {
    name: 'torn-checkpoint',
    expected: good(8, 5),
    why: 'the last checkpoint was never finished',
    change: edit('checkpoints', (text) => text.slice(0, -20)),
  },
  {
    name: 'truncated-unsigned',
    expected: good(7, 6),
    why: 'the last entry, which no checkpoint covers, was cut off: only a head kept elsewhere shows it',
    change: editLines(SECOND, (lines) => lines.slice(0, -1)),
  },
  {
    name: 'edited',
    expected: bad('entry_altered', 4, FIRST, 3),
    why: 'one value was changed',
    change: edit(FIRST, (text) => text.replace('"things.list"', '"things.steal"')),
  },
  {
    name: 'edited-unsigned',
    expected: bad('entry_altered', 7, SECOND, 6),
    why: 'one value was changed after the last checkpoint',
    change: edit(SECOND, (text) => text.replace('"tunnel":true', '"tunnel":false')),
  },
  {
    name: 'deleted',
    expected: bad('entry_missing', 2, FIRST, 0),
    why: 'one entry was removed',
    change: editLines(FIRST, (lines) => lines.toSpliced(1, 1)),
  },
  {
    name: 'reordered',
    expected: bad('entry_missing', 2, FIRST, 0),
    why: 'two entries changed places',
    change: editLines(FIRST, ([a = '', b = '', c = '', ...rest]) => [a, c, b, ...rest]),
  },
  {
    name: 'inserted',
    expected: bad('entry_repeated', 3, FIRST, 0),
    why: 'one entry stands twice',
    change: editLines(FIRST, (lines) => lines.toSpliced(2, 0, lines[1] ?? '')),
  },
  {
    name: 'garbage',
    expected: bad('entry_malformed', 4, FIRST, 3),
    why: 'a line that is no entry',
    change: editLines(FIRST, (lines) => lines.toSpliced(3, 0, 'hello')),
  },
  {
    name: 'rewritten',
    expected: bad('checkpoint_mismatch', 4, FIRST, 3),
    why: 'one entry was changed and the chain written anew',
    change: rewriteFrom(4, (body) => body.replace('things.list', 'things.none')),
  },
  {
    name: 'respelled',
    expected: bad('entry_malformed', 7, SECOND, 6),
    why: 'after the last checkpoint an entry was spelled otherwise, and the chain written anew',
    change: rewriteFrom(7, (body) => body.replace('"event":{', '"event":{"host":"other.test",')),
  },
  {
    name: 'replaced',
    expected: bad('chain_broken', 7, SECOND, 6),
    why: 'one entry was changed and only its own hash written anew',
    change: replaceOne(7, (body) => body.replace('example.test', 'another.test')),
  },
  {
    name: 'truncated',
    expected: bad('truncated', 6, SECOND, 5),
    why: 'signed entries were cut off',
    change: editLines(SECOND, (lines) => lines.slice(0, 0)),
  },
  {
    name: 'last-segment-missing',
    expected: bad('truncated', 6, FIRST, 5),
    why: 'the last segment was removed',
    change: (directory) => rmSync(join(directory, SECOND)),
  },
  {
    name: 'torn-inside',
    expected: bad('segment_torn', 5, FIRST, 3),
    why: 'a segment that is not the last ends inside an entry',
    change: edit(FIRST, (text) => text.slice(0, -30)),
  },
  {
    name: 'segment-missing',
    expected: bad('segment_missing', 1, FIRST, 0),
    why: 'the first segment was removed',
    change: (directory) => rmSync(join(directory, FIRST)),
  },
  {
    name: 'checkpoints-swapped',
    expected: bad('checkpoint_order', 6, 'checkpoints', 5),
    why: 'two checkpoints changed places',
    change: edit('checkpoints', swapNotes),
  },
  {
    name: 'checkpoint-edited',
    expected: bad('checkpoint_foreign', 6, 'checkpoints', 5),
    why: 'the size in a checkpoint was changed',
    change: edit('checkpoints', (text) => text.replace('\n6\n', '\n7\n')),
  },
  {
    name: 'checkpoint-foreign',
    expected: bad('checkpoint_foreign', 6, 'checkpoints', 5),
    why: 'a checkpoint was signed by another key',
    change: signByForeign,
  },
  {
    name: 'checkpoint-malformed',
    expected: bad('checkpoint_malformed', 1, 'checkpoints', 0),
    why: 'a checkpoint has another form',
    change: edit('checkpoints', (text) => text.replace('\n3\n', '\n03\n')),
  },
  {
    name: 'checkpoint-of-another',
    expected: bad('checkpoint_foreign', 4, 'checkpoints', 3),
    why: 'a checkpoint belongs to another node',
    change: edit('checkpoints', (text) => text.replace('keyward/vector\n5\n', 'keyward/other\n5\n')),
  },
]

/** Writes every vector below `target`. */
export async function generate(target: string): Promise<void> {
  const good = join(target, 'good')
  mkdirSync(good, { recursive: true })
  await writeGood(good)
  rmSync(join(good, 'tree'))
  for (const { name, change } of cases) {
    const directory = join(target, name)
    if (name !== 'good') cpSync(good, directory, { recursive: true })
    change(directory)
  }
  const table = cases.map(({ name, why, expected }) => ({ name, why, ...expected }))
  writeFileSync(join(target, 'cases.json'), `${JSON.stringify(table, null, 2)}\n`)
  writeFileSync(join(target, 'public-key.pem'), own.publicKey.export({ format: 'pem', type: 'spki' }))
}

if (process.argv[1] === import.meta.filename) {
  for (const entry of readdirSync(import.meta.dirname, { withFileTypes: true })) {
    if (entry.isDirectory()) rmSync(join(import.meta.dirname, entry.name), { recursive: true })
  }
  await generate(import.meta.dirname)
}
