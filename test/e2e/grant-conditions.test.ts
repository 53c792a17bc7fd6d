import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openHouse, serviceYaml, type House } from '../harness.ts'

/** Every way in gives the same grant: typed, or in a file, it is exported alike, and shown alike. */

let house: House

beforeAll(async () => {
  house = openHouse()
  await house.up()
  house.write('mine.yaml', serviceYaml('mine', 9))
  await house.expectDone(['service', 'add', 'mine.yaml'])
  await house.expectDone(['credential', 'add', 'mine', '--service', 'mine', '--stdin'], {
    input: `value-${Math.random().toString(36).slice(2)}-of-a-test`,
  })
  for (const folder of ['policy', 'bad']) mkdirSync(join(house.work, folder))
  for (const name of ['typed', 'filed']) await house.expectDone(['agent', 'add', name])
})
afterAll(() => house.close())

const when = 'request.body.model in ["small"] &&\n  hour(now) >= 7'

const grantOf = (exported: string, agent: string): string =>
  (exported.split(/^---$/m).find((text) => /^kind: grant$/m.test(text) && text.includes(`agent: ${agent}\n`)) ?? '')
    .replace(`agent: ${agent}`, 'agent: any')
    .trim()

test('typed or in a file, a grant with a condition is the same', async () => {
  const add = ['grant', 'add', '--agent', 'typed', '--credential', 'mine', '--allow', 'POST /chat', '--when', when]
  const { id }: { id: string } = JSON.parse(await house.expectDone([...add, '--json']))
  const shown: { when: string } = JSON.parse(await house.expectDone(['grant', 'show', id, '--json']))
  expect(shown.when).toBe(when)
  expect(await house.expectDone(['grant', 'show', id])).toContain('request.body.model in ["small"]')
  expect(await house.expectDone(['grant', 'list', '--agent', 'typed'])).toMatch(/WHEN.*\n.* yes /)

  house.write(
    'policy/grant.yaml',
    [
      'kind: grant',
      'agent: filed',
      'credential: mine',
      'allow: ["POST /chat"]',
      'when: |',
      '  request.body.model in ["small"] &&',
      '    hour(now) >= 7',
      '',
    ].join('\n'),
  )
  await house.expectDone(['apply', '-f', 'policy'])
  expect(await house.expectDone(['apply', '-f', 'policy', '--dry-run'])).toContain(
    '0 to create, 0 to change, 0 to remove, 1 unchanged',
  )
  const exported = await house.expectDone(['export'])
  expect(grantOf(exported, 'filed')).toContain('when:')
  expect(grantOf(exported, 'filed')).toBe(grantOf(exported, 'typed'))
})

test('what cannot be understood is refused with the place, however it comes', async () => {
  const add = ['grant', 'add', '--agent', 'typed', '--credential', 'mine', '--allow', '*']
  const typed = await house.keyward([...add, '--when', 'request.verb == "GET"'])
  expect(typed.code).toBe(2)
  expect(typed.err).toMatch(/At character 9: There is no request\.verb/)
  house.write('bad/grant.yaml', 'kind: grant\nagent: filed\ncredential: mine\nallow: ["*"]\nwhen: "hour(now) > "\n')
  const filed = await house.keyward(['apply', '-f', 'bad', '--dry-run'])
  expect(filed.code).toBe(2)
  expect(`${filed.out}${filed.err}`).toMatch(/when: At character/)
})
