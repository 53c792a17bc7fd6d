import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { ownCode } from './own-code.ts'

const root = resolve(import.meta.dirname, '../..')

test('an agent that works elsewhere may change nothing of this installation', () => {
  expect(ownCode('/tmp')).toEqual([root])
  expect(ownCode(`${root}-beside`)).toEqual([root])
})

test('an agent that works inside it may change nothing that is executed', () => {
  for (const folder of [root, join(root, 'docs')]) {
    const paths = ownCode(folder)
    expect(paths).not.toContain(root)
    for (const name of ['bin', 'keyward', 'node_modules', 'package.json', 'scripts', 'src'])
      expect(paths).toContain(join(root, name))
  }
})
