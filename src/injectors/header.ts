import { z } from 'zod'
import { headerFieldValue } from './field-value.ts'
import { soleHeader, withHeader } from './header-place.ts'
import { defineInjector } from './injector.ts'
import { template } from './template.ts'

/** Headers that frame, route or describe a request, or that servers repeat in logs and answers: no place for a secret. */
const reserved = new Set([
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'expect',
  'host',
  'keep-alive',
  'origin',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'referer',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-http-method-override',
  'x-request-id',
])

const options = z.strictObject({
  name: z
    .string()
    .max(128)
    .regex(/^[A-Za-z0-9!#$%&'*+.^`|~-]+$/, 'a header name is an RFC 9110 token without _')
    .toLowerCase()
    .refine((name) => !reserved.has(name), 'this header is no place for a credential'),
  template: template
    .refine(({ before }) => before === before.trimStart(), 'the template begins with a space')
    .refine(({ after }) => after === after.trimEnd(), 'the template ends with a space')
    .prefault('{key}'),
})

/** A header of any name: `name`, and `template` with one `{field}` (`{key}` unless given; `token {key}`). */
export const header = defineInjector({
  kind: 'header',
  options,
  place: ({ name }) => ({ in: 'header', name }),
  fields: ({ template: { field } }) => [field],
  find(head, { name, template: { before, field, after } }) {
    const value = soleHeader(head, name)
    // The literal text is compared without letter case, because it usually is an authentication scheme.
    if (value === null || value.slice(0, before.length).toLowerCase() !== before.toLowerCase()) return null
    if (value.length < before.length + after.length || !value.endsWith(after)) return null
    const text = value.slice(before.length, value.length - after.length).trim()
    return text === '' ? null : { field, text }
  },
  inject: (head, { name, template: { before, field, after } }, fields) =>
    withHeader(head, name, before + headerFieldValue(fields, field) + after),
  derived: () => [],
  describe: ({ name, template: { text } }) => (text === '{key}' ? `header ${name}` : `header ${name}, ${text}`),
  samples: [
    { name: 'X-Api-Key' },
    { name: 'authorization', template: 'token {key}' },
    { name: 'x-signed', template: 'v1={secret};end' },
  ],
})
