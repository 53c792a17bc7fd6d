import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { RequestHead } from '../core/request.ts'
import { fieldName, fieldValue } from './field-value.ts'
import { defineInjector } from './injector.ts'
import { decodeSegment, encodeSegment } from './template.ts'

const options = z.strictObject({
  name: z
    .string()
    .max(128)
    .regex(/^[A-Za-z0-9_.~-]+$/, 'a parameter name is letters, digits, - _ . ~'),
  field: fieldName.default('key'),
})

/** A query parameter: `name`, and `field` (`key` unless named). It stays where the caller had it, else it goes to the end. */
export const query = defineInjector({
  kind: 'query',
  options,
  place: ({ name }) => ({ in: 'query', name }),
  fields: ({ field }) => [field],
  find(head, { name, field }) {
    const there = split(head).parameters.filter((parameter) => isNamed(parameter, name))
    if (there.length > 1) throw new KeywardError('placeholder_ambiguous', `The query parameter ${name} is there twice.`)
    const [only] = there
    const text = only === undefined ? '' : decodeSegment(valueOf(only))
    return text === '' ? null : { field, text }
  },
  inject(head, { name, field }, fields) {
    const written = `${name}=${encodeSegment(fieldValue(fields, field))}`
    const { path, parameters } = split(head)
    const at = parameters.findIndex((parameter) => isNamed(parameter, name))
    const kept = parameters.filter((parameter) => !isNamed(parameter, name))
    kept.splice(at < 0 ? kept.length : at, 0, written)
    return { ...head, target: `${path}?${kept.join('&')}` }
  },
  derived(rule, fields) {
    const value = fieldValue(fields, rule.field)
    const encoded = encodeSegment(value)
    return encoded === value ? [] : [encoded]
  },
  describe: ({ name }) => `query ${name}`,
  samples: [{ name: 'key' }, { name: 'api_key', field: 'token' }],
})

function split(head: RequestHead): { path: string; parameters: string[] } {
  const mark = head.target.indexOf('?')
  if (mark < 0) return { path: head.target, parameters: [] }
  const text = head.target.slice(mark + 1)
  return { path: head.target.slice(0, mark), parameters: text === '' ? [] : text.split('&') }
}

/** Letter case is ignored: some servers ignore it too, and then a second spelling would be a second credential. */
function isNamed(parameter: string, name: string): boolean {
  const sign = parameter.indexOf('=')
  const written = sign < 0 ? parameter : parameter.slice(0, sign)
  return decodeSegment(written).toLowerCase() === name.toLowerCase()
}

function valueOf(parameter: string): string {
  const sign = parameter.indexOf('=')
  return sign < 0 ? '' : parameter.slice(sign + 1)
}
