import { expect, test } from 'vitest'
import { withoutPassword } from './without-password.ts'

test.each([
  ['postgres://ada:hunter2@db.example.test:5432/keyward', 'postgres://ada:***@db.example.test:5432/keyward'],
  ['postgres://ada:hun@ter/2@db.example.test/keyward', 'postgres://ada:***@db.example.test/keyward'],
  ['postgres://:hunter2@db.example.test/keyward', 'postgres://:***@db.example.test/keyward'],
  [
    'postgres://db.example.test/keyward?user=ada&password=hunter2',
    'postgres://db.example.test/keyward?user=ada&password=***',
  ],
  [
    'postgres://db.example.test/keyward?sslpassword=hunter2&a=b',
    'postgres://db.example.test/keyward?sslpassword=***&a=b',
  ],
  ['postgres://ada@db.example.test/keyward', 'postgres://ada@db.example.test/keyward'],
  ['/home/ada/.keyward', '/home/ada/.keyward'],
])('%s is shown without a password', (text, shown) => {
  expect(withoutPassword(text)).toBe(shown)
})
