import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { seededRandom } from '../fixture.ts'
import { createRootKeyFile, fileSource, parseRootKey, readRootKeyFile, rootKeyText } from './file.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-root-key-'))
afterAll(() => rmSync(folder, { recursive: true }))
const random = seededRandom('root key')
let made = 0
const newPath = () => join(folder, `${(made += 1)}`)

describe('the root key file', () => {
  test('is made for its owner alone, never over another, and reads back', async () => {
    const path = newPath()
    const before = process.umask(0)
    const key = await createRootKeyFile(path, random).finally(() => process.umask(before))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const read = await readRootKeyFile(path)
    const place = { storeId: 'store', slotId: 'slot' }
    const [made, opened] = [await key.create(place), await read.open({ kind: 'file' }, place)]
    expect(opened?.equals(made.key)).toBe(true)
    const text = readFileSync(path, 'utf8')
    await expect(createRootKeyFile(path, random)).rejects.toMatchObject({ code: 'already_exists' })
    expect(readFileSync(path, 'utf8')).toBe(text)
  })

  test('that group or others may touch is refused, with its path and not its content', async () => {
    for (const mode of [0o640, 0o604, 0o644, 0o660, 0o610, 0o601, 0o622]) {
      const path = newPath()
      await createRootKeyFile(path, random)
      chmodSync(path, mode)
      await expect(readRootKeyFile(path)).rejects.toMatchObject({ code: 'root_key_unsafe', detail: path })
    }
  })

  test('that is missing, or is something else, is refused', async () => {
    await expect(readRootKeyFile(newPath())).rejects.toMatchObject({ code: 'root_key_missing' })
    const path = newPath()
    mkdirSync(path)
    await expect(readRootKeyFile(path)).rejects.toMatchObject({ code: 'root_key_wrong' })
  })

  test('with any one character changed, added or lost is refused', async () => {
    const text = rootKeyText(random(32))
    for (let at = 0; at < text.length - 1; at += 1) {
      const other = text[at] === 'A' ? 'B' : 'A'
      expect(parseRootKey(text.slice(0, at) + other + text.slice(at + 1)), `changed at ${at}`).toBeNull()
      expect(parseRootKey(text.slice(0, at) + text.slice(at + 1)), `lost at ${at}`).toBeNull()
      expect(parseRootKey(`${text.slice(0, at)}${other}${text.slice(at)}`), `added at ${at}`).toBeNull()
    }
    expect(parseRootKey(text)).not.toBeNull()
    expect(parseRootKey(text.trimEnd())).not.toBeNull()
    expect(parseRootKey(text + text)).toBeNull()
    const path = newPath()
    writeFileSync(path, 'something else', { mode: 0o600 })
    await expect(readRootKeyFile(path)).rejects.toMatchObject({ code: 'root_key_wrong' })
  })
})

test('the next root key takes the place of the file once it is settled, and the former one is overwritten', async () => {
  const path = newPath()
  const source = fileSource({ path, random })
  await source.first()
  const former = readFileSync(path, 'utf8')
  // A second name for the same file: what a copy by hard link would keep.
  linkSync(path, `${path}.link`)
  const dropped = await source.next(null)
  await dropped.discard()
  expect([readFileSync(path, 'utf8'), existsSync(`${path}.new`)]).toEqual([former, false])
  const next = await source.next(null)
  expect(readFileSync(path, 'utf8')).toBe(former)
  await next.settle()
  expect(readFileSync(path, 'utf8')).not.toBe(former)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readFileSync(`${path}.link`, 'latin1')).toBe('\0'.repeat(former.length))
  const place = { storeId: 'store', slotId: 'slot' }
  const { key } = await next.rootKey.create(place)
  expect((await (await source.existing()).open({ kind: 'file' }, place))?.equals(key)).toBe(true)
})
