import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { services } from './index.ts'
import { serviceMatrix } from './matrix.ts'

const page = new URL('../../docs/guide/services.md', import.meta.url)

test('docs/guide/services.md says what the rows say (`npm run docs` writes it anew)', () => {
  const written = serviceMatrix(services)
  expect(readFileSync(page, 'utf8')).toBe(written)
})

test('every service is on the page with every host, variable and operation', () => {
  const written = serviceMatrix(services)
  for (const service of services) {
    const parts = [
      service.id,
      ...service.hosts,
      ...Object.values(service.variables.fields).flat(),
      ...service.operations.map(({ name }) => name),
    ]
    for (const part of parts) expect(written).toContain(part)
  }
})
