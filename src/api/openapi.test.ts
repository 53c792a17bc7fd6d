import { Validator } from '@seriousme/openapi-schema-validator'
import { expect, test } from 'vitest'
import { handlers } from './control.ts'
import { openApiDocument } from './openapi.ts'
import { operations } from './operations.ts'

const document = openApiDocument('1.2.3')
const written: Record<string, unknown> = JSON.parse(JSON.stringify(document))

test('the document is OpenAPI 3.1, by the schema that its authors publish', async () => {
  const { valid, errors } = await new Validator().validate(written)
  expect(errors ?? []).toEqual([])
  expect(valid).toBe(true)
})

test('and the validator would say so if it were not', async () => {
  const { valid } = await new Validator().validate({ ...written, paths: { '/x': { get: { parameters: [{}] } } } })
  expect(valid).toBe(false)
})

test('it describes every route that is served, and none besides', () => {
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{([a-z]+)\}/g, ':$1')}`),
  )
  expect(routes.toSorted()).toEqual([...Object.keys(handlers), 'GET /journal', 'POST /backups'].toSorted())
})

test('every operation has a name of its own and a sentence', () => {
  const texts = Object.values(operations)
  expect(new Set(texts.map(({ id }) => id)).size).toBe(texts.length)
  for (const { id, summary } of texts) {
    expect(id).toMatch(/^[a-z][A-Za-z]+$/)
    expect(summary).toMatch(/^[A-Z].*[^.]$/)
  }
})

test('every reference leads somewhere', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([A-Za-z]+)"/g)]
  expect(references.length).toBeGreaterThan(20)
  for (const [, name = ''] of references) expect(Object.keys(document.components.schemas)).toContain(name)
})

test('no route takes what it does not know', () => {
  const bodies = Object.values(document.paths)
    .flatMap((methods) => Object.values(methods))
    .map((operation) => JSON.stringify(operation))
    .filter((text) => text.includes('requestBody'))
  expect(bodies.length).toBeGreaterThan(10)
  for (const text of bodies) expect(text).toContain('"additionalProperties":false')
})
