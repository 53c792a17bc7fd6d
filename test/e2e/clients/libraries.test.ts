import { existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectLeakIsFound, expectRecorded, expectSwap, mark } from './expect-swap.ts'
import { clients, openStage, reply, type Stage, type VendorName } from './stage.ts'

let stage: Stage
beforeAll(async () => {
  if (!existsSync(join(clients, 'node_modules')))
    throw new Error('Run `npm ci --ignore-scripts` in test/clients first.')
  stage = await openStage()
})
afterAll(() => stage?.close())

const script = (name: string): string => join(clients, 'programs', name)

const node: readonly (readonly [client: string, vendor: VendorName, answer: string])[] = [
  ['openai', 'openai', reply],
  ['anthropic', 'anthropic', reply],
  ['genai', 'gemini', reply],
  ['stripe', 'stripe', 'cus_FakeVendor'],
  ['axios', 'openai', reply],
  ['fetch', 'openai', reply],
]

describe.each(['direct', 'recorded'] as const)('%s', (way) => {
  it.each(node)('%s works and meets no key', async (client, vendor, answer) => {
    const before = await mark(stage, vendor)
    const run = await stage.client({
      command: client,
      program: [process.execPath],
      args: [script(`${client}.mjs`)],
      way,
    })
    await expectSwap(stage, vendor, run, before)
    expect(JSON.parse(run.stdout)).toMatchObject({ answer })
    if (way === 'recorded') expectRecorded(run)
  })

  it('curl works and meets no key', async () => {
    const before = await mark(stage, 'openai')
    const run = await stage.client({ command: 'curl-client', program: ['/bin/sh'], args: [script('curl.sh')], way })
    await expectSwap(stage, 'openai', run, before)
    expect(run.stdout).toContain(reply)
    if (way === 'recorded') expectRecorded(run)
  })
})

it('the search would have found the keys, for the vendors echoed them', () => {
  for (const vendor of ['openai', 'anthropic', 'gemini', 'stripe'] as const)
    expectLeakIsFound(stage.vendors[vendor], stage.keys)
})
