import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import { DATABASE_URL_CHARACTERS_MAXIMUM, readPostgresUrl } from './postgres-address.ts'

const password = 'pw:of/the?test#@%'
const encoded = encodeURIComponent(password)

describe('the address of a PostgreSQL database', () => {
  test('has every part, decoded, and shows all but the password', () => {
    const read = readPostgresUrl(`postgres://key%40ward:${encoded}@db.example.test:6543/my%20records`)
    expect(read).toMatchObject({ host: 'db.example.test', port: 6543, user: 'key@ward', database: 'my records' })
    expect(read.password.revealText()).toBe(password)
    for (const printed of [read.shown, inspect(read, { depth: 9 }), JSON.stringify(read), String(read.password)]) {
      expect(printed).not.toContain(password)
      expect(printed).not.toContain(encoded)
    }
    expect(readPostgresUrl(read.shown).shown).toBe(read.shown)
  })

  test.each([
    ['postgres://u:p@db.example.test/d', { authorityFile: null }],
    ['postgresql://u:p@db.example.test/d?sslmode=verify-full', { authorityFile: null }],
    ['postgres://u:p@db.example.test/d?sslrootcert=/etc/ca.pem', { authorityFile: '/etc/ca.pem' }],
    ['postgres://u:p@127.0.0.1/d?sslmode=verify-full&sslrootcert=/etc/ca.pem', { authorityFile: '/etc/ca.pem' }],
    ['postgres://u:p@127.0.0.1/d', null],
    ['postgres://u:p@[::1]:5433/d', null],
    ['postgres://u:p@localhost/d?sslmode=disable', null],
    ['postgres://u@%2Fvar%2Frun%2Fpostgresql/d', null],
  ])('%s: TLS as asked, verified wherever it crosses a network', (url, tls) => {
    const read = readPostgresUrl(url)
    expect(read.tls).toEqual(tls)
    expect(readPostgresUrl(read.shown)).toMatchObject({ host: read.host, port: read.port })
  })

  test.each([
    `postgres://u:${encoded}@db.example.test/d?sslmode=disable`,
    ...['require', 'prefer', 'allow', 'verify-ca', 'no-verify', ''].map(
      (mode) => `postgres://u:${encoded}@db.example.test/d?sslmode=${mode}`,
    ),
    `postgres://u:${encoded}@127.0.0.1.example.test/d?sslmode=disable`,
    `postgres://u:${encoded}@10.0.0.1/d?sslmode=disable`,
    `postgres://u:${encoded}@%2Frun/d?sslmode=verify-full`,
    `postgres://u:${encoded}@127.0.0.1/d?sslmode=disable&sslrootcert=/ca`,
    `postgres://u:${encoded}@h/d?sslrootcert=ca.pem`,
    `postgres://u:${encoded}@h/d?sslmode=verify-full&sslmode=disable`,
    `postgres://u:${encoded}@h/d?ssl=true`,
    `postgres://u:${encoded}@h/d?host=elsewhere`,
    `postgres://u:${encoded}@h/d#fragment`,
    `postgres://u:${encoded}@h/`,
    `postgres://:${encoded}@h/d`,
    `postgres://u:${encoded}@/d`,
    `postgres://u:${encoded}@h:0/d`,
    `postgres://u:${encoded}@h:70000/d`,
    `postgres://u:${encoded}@h/d%00`,
    `postgres://u:${encoded}%zz@h/d`,
    `postgres://u:${password}@h/d`,
    `mysql://u:${encoded}@h/d`,
    `host=h user=u password=${password}`,
    `postgres://u:${encoded}@h/${'d'.repeat(DATABASE_URL_CHARACTERS_MAXIMUM)}`,
  ])('%s is refused, and nothing of it repeated', (url) => {
    let refused: unknown
    try {
      readPostgresUrl(url)
    } catch (error) {
      refused = error
    }
    expect(refused).toBeInstanceOf(KeywardError)
    expect(refused).toMatchObject({ code: 'config_invalid' })
    expect(inspect(refused, { depth: 9 })).not.toContain(encoded)
    expect(inspect(refused, { depth: 9 })).not.toContain(password)
  })
})
