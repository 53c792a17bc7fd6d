import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import { pathOf } from '../core/request.ts'
import { fieldValue } from './field-value.ts'
import { defineInjector } from './injector.ts'
import type { FieldValues } from './injector.ts'
import { decodeSegment, encodeSegment, template } from './template.ts'
import type { Template } from './template.ts'

const options = z.strictObject({
  template: template
    .refine(({ before }) => before.startsWith('/'), 'a path template begins with /')
    .refine(({ before, after }) => /^[A-Za-z0-9/_.~:-]*$/.test(before + after), 'a path template is plain path text')
    .refine(({ before, after }) => !/\/\/|\/\.{1,2}(?:\/|$)/.test(`${before}x${after}`), 'a path template is canonical')
    .refine(({ after }) => !after.endsWith('/'), 'a path template does not end with /'),
})

/** The start of the path: `template` with one `{field}` in one of its segments (`/bot{token}`). A path that does not begin so gets it put in front. */
export const path = defineInjector({
  kind: 'path',
  options,
  place: () => ({ in: 'path' }),
  fields: ({ template: { field } }) => [field],
  find(head, rule) {
    const text = decodeSegment(occupant(pathOf(head.target), rule.template)?.text ?? '')
    return text === '' ? null : { field: rule.template.field, text }
  },
  inject(head, rule, fields) {
    const { before, after } = rule.template
    const there = occupant(pathOf(head.target), rule.template)
    const rest = head.target.slice(there?.end ?? 0)
    return { ...head, target: before + segment(rule.template, fields) + after + rest }
  },
  derived(rule, fields) {
    const encoded = segment(rule.template, fields)
    return encoded === fieldValue(fields, rule.template.field) ? [] : [encoded]
  },
  describe: ({ template: { text } }) => `path ${text}`,
  samples: [{ template: '/bot{token}' }, { template: '/v1/{key}/api' }],
})

/** What stands where the field belongs, and where the filled template ends; null when the path is another one. */
function occupant(text: string, { before, after }: Template): { readonly text: string; readonly end: number } | null {
  if (!text.startsWith(before)) return null
  const slash = text.indexOf('/', before.length)
  const stop = slash < 0 ? text.length : slash
  const inner = after.slice(0, after.indexOf('/') < 0 ? after.length : after.indexOf('/'))
  const end = stop - inner.length + after.length
  if (stop - inner.length < before.length || text.slice(stop - inner.length, end) !== after) return null
  if (end < text.length && text.charAt(end) !== '/') return null
  return { text: text.slice(before.length, stop - inner.length), end }
}

function segment({ field }: Template, fields: FieldValues): string {
  const value = fieldValue(fields, field)
  if (value === '.' || value === '..')
    throw new KeywardError('secret_not_injectable', `The field ${field} is a dot segment.`)
  return encodeSegment(value)
}
