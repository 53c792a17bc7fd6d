import { createSecretKey, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { createFakeRecords } from '../../test/fakes/records.ts'
import { createLogins, LOGIN_CODE_MILLISECONDS, LOGIN_CODES_MAXIMUM, LOGIN_MILLISECONDS } from './logins.ts'
import { createPeople } from './people.ts'

function open() {
  let clock = 1_000
  let ids = 0
  const records = createFakeRecords()
  const now = () => clock
  const newId = () => `id${(ids += 1)}`
  const people = createPeople({ records, now, newId })
  const parts = { records, key: createSecretKey(randomBytes(32)), randomBytes, now, newId, ownerName: 'operator:root' }
  return {
    records,
    people,
    logins: createLogins(parts),
    /** Another node on the same records. */
    other: createLogins(parts),
    pass: (milliseconds: number) => (clock += milliseconds),
  }
}

test('a code logs in once, and the token says who it is', async () => {
  const { people, logins, other } = open()
  const { id } = await people.add({ name: 'anna@example.test', role: 'operator', groups: ['team-a'] }, 'operator:root')
  const { code } = logins.offer(id)
  const { token } = await logins.redeem(code)
  expect(logins.byToken(token)).toMatchObject({ personId: id, person: { name: 'anna@example.test', role: 'operator' } })
  expect(other.byToken(token)).toMatchObject({ personId: id })
  await expect(logins.redeem(code)).rejects.toMatchObject({ code: 'login_invalid' })
})

test('used by two at once, a code logs one of them in', async () => {
  const { logins } = open()
  const { code } = logins.offer(null)
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => logins.redeem(code)))
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
})

test('a code is good for five minutes, a login for eight hours', async () => {
  const { logins, pass } = open()
  const late = logins.offer(null).code
  pass(LOGIN_CODE_MILLISECONDS)
  await expect(logins.redeem(late)).rejects.toMatchObject({ code: 'login_invalid' })
  const { token } = await logins.redeem(logins.offer(null).code)
  pass(LOGIN_MILLISECONDS - 1)
  expect(logins.byToken(token)).not.toBeNull()
  pass(1)
  expect(logins.byToken(token)).toBeNull()
})

test('a code is no login, and a token of nobody none either', async () => {
  const { logins } = open()
  const { code } = logins.offer(null)
  expect(logins.byToken(code)).toBeNull()
  for (const text of ['', 'kwl_', `${code}x`, code.slice(0, -1), 'x'.repeat(10_000)]) {
    expect(logins.byToken(text)).toBeNull()
    await expect(logins.redeem(text)).rejects.toMatchObject({ code: 'login_invalid' })
  }
})

test('with the person go all logins and codes, on every node', async () => {
  const { people, logins, other } = open()
  const { id } = await people.add({ name: 'anna@example.test', role: 'admin', groups: ['*'] }, 'operator:root')
  const { code } = logins.offer(id)
  const { token } = await logins.redeem(logins.offer(id).code)
  await people.remove(id, 'operator:root')
  expect(logins.byToken(token)).toBeNull()
  expect(other.byToken(token)).toBeNull()
  await expect(logins.redeem(code)).rejects.toMatchObject({ code: 'login_invalid' })
})

test('another role bites in logins that are open', async () => {
  const { people, logins } = open()
  const { id } = await people.add({ name: 'anna@example.test', role: 'admin', groups: ['*'] }, 'operator:root')
  const { token } = await logins.redeem(logins.offer(id).code)
  await people.set(id, { role: 'viewer', groups: ['team-a'] }, 'operator:root')
  expect(logins.byToken(token)?.person).toMatchObject({ role: 'viewer', groups: ['team-a'] })
})

test('an ended login opens nothing', async () => {
  const { logins } = open()
  const { token, login } = await logins.redeem(logins.offer(null).code)
  await logins.end(login.id, 'operator:root')
  expect(logins.byToken(token)).toBeNull()
  await expect(logins.end(login.id, 'operator:root')).rejects.toMatchObject({ code: 'not_found' })
})

test('tokens and codes are nowhere on record', async () => {
  const { records, logins } = open()
  const { code } = logins.offer(null)
  const { token } = await logins.redeem(code)
  const kept = inspect([records.log, [...records.all('login')]], { depth: 20 })
  expect(kept).not.toContain(token)
  expect(kept).not.toContain(code)
})

test('more codes than may be open push the oldest out', async () => {
  const { logins } = open()
  const first = logins.offer(null).code
  for (let made = 0; made < LOGIN_CODES_MAXIMUM; made += 1) logins.offer(null)
  await expect(logins.redeem(first)).rejects.toMatchObject({ code: 'login_invalid' })
})
