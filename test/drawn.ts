import { createHash, randomBytes } from 'node:crypto'
import { beforeEach } from 'vitest'

const seed = process.env['KEYWARD_TEST_SEED'] ?? randomBytes(8).toString('hex')
let name = ''
let draws = 0

/**
 * For a file whose tests draw secrets at random: a test that fails says with which seed it draws the same once
 * more. What it draws depends on the seed and on its own name, and not on the tests before it.
 */
export function sayWhatWasDrawn(): void {
  beforeEach(({ task, onTestFailed }) => {
    name = task.name
    draws = 0
    onTestFailed(() => console.error(`${task.name}: to draw the same again, set KEYWARD_TEST_SEED=${seed}`))
  })
}

export function drawnBytes(length: number): Buffer {
  const digest = (block: number): Buffer => createHash('sha512').update(`${seed} ${name} ${draws} ${block}`).digest()
  draws++
  return Buffer.concat(Array.from({ length: Math.ceil(length / 64) }, (_, block) => digest(block))).subarray(0, length)
}

/** What a property is tried with. */
export function drawnSeed(): number {
  return drawnBytes(4).readInt32LE()
}
