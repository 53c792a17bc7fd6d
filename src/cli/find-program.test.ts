import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startFailure } from './find-program.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-program-'))
const path = [join(folder, 'none'), join(folder, 'first'), join(folder, 'second')].join(delimiter)

beforeAll(() => {
  for (const name of ['first', 'second']) mkdirSync(join(folder, name))
  for (const [file, mode] of [
    ['first/text', 0o644],
    ['first/both', 0o644],
    ['second/both', 0o755],
    ['second/tool', 0o755],
  ] as const) {
    writeFileSync(join(folder, file), '#!/bin/sh\n')
    chmodSync(join(folder, file), mode)
  }
})

afterAll(() => rmSync(folder, { recursive: true }))

test.each([
  ['tool', null],
  ['both', null],
  ['text', 126],
  ['nothing', 127],
  ['./second/tool', null],
  ['./first/text', 126],
  ['./first', 126],
  ['./tool', 127],
  ['./second/tool/below', 127],
])('%s: %s', (command, expected) => {
  expect(startFailure(command, folder, path)).toBe(expected)
})

test('an empty entry is the working directory; no PATH is no judgement', () => {
  expect(startFailure('tool', join(folder, 'second'), `${delimiter}/nowhere`)).toBeNull()
  expect(startFailure('nothing', folder, undefined)).toBeNull()
})
