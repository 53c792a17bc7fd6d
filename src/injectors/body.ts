import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import { findJsonString, pointerParts } from '../core/json-place.ts'
import { headerValues, type RequestHead } from '../core/request.ts'
import { fieldName, fieldValue } from './field-value.ts'
import { findParameter } from './form-place.ts'
import { defineBodyInjector } from './injector.ts'
import type { WholeRequest } from './injector.ts'

const options = z
  .strictObject({
    pointer: z
      .string()
      .max(256)
      .refine((text) => pointerParts(text) !== null, 'a pointer is a JSON Pointer (RFC 6901): /NAME/NAME')
      .optional(),
    form: z
      .string()
      .max(128)
      .regex(/^[A-Za-z0-9_~-]+$/, 'a name in a form is letters, digits, - _ ~')
      .optional(),
    field: fieldName.default('key'),
  })
  .transform(({ pointer, form, field }, context) => {
    if (pointer !== undefined && form === undefined) return { in: 'json', at: pointer, field } as const
    if (form !== undefined && pointer === undefined) return { in: 'form', at: form, field } as const
    context.issues.push({ code: 'custom', message: 'give pointer or form, and not both', input: pointer })
    return z.NEVER
  })

type Options = z.infer<typeof options>

/** Types whose readers find the place: JSON with any structured suffix (RFC 6839), and forms. */
const TYPES = {
  json: /^(?:application\/(?:[\w.!#$&^-]+\+)?json|text\/json)$/,
  form: /^application\/x-www-form-urlencoded$/,
}
const BLANK_TYPES = { json: 'application/json', form: 'application/x-www-form-urlencoded' }

/**
 * A string in a JSON body (`pointer`) or a field of a form (`form`), and `field` (`key` unless named). What
 * stands there may be written in any way; nothing around it changes. The place must be there, empty or
 * filled: a body is not restructured.
 */
export const body = defineBodyInjector<Options>({
  kind: 'body',
  options,
  place: () => ({ in: 'body' }),
  fields: ({ field }) => [field],
  readsBody: (head, rule) => isMeant(head, rule) || isCoded(head),
  find(request, rule) {
    const read = textOf(request, rule)
    const found = read === null ? null : placeIn(read, rule)
    if (read === null || found === null) return null
    const text = decoded(read.slice(found.start, found.end), rule)
    return text === '' ? null : { field: rule.field, text }
  },
  inject(request, rule, fields) {
    const value = encoded(fieldValue(fields, rule.field), rule)
    const read = textOf(request, rule)
    const found = read === null ? null : placeIn(read, rule)
    if (read === null || found === null)
      throw notInjectable(`The credential belongs into ${describe(rule)}, and the body has no such place.`)
    const written = read.slice(0, found.start) + value + read.slice(found.end)
    return { head: request.head, body: Buffer.from(written, 'utf8') }
  },
  derived(rule, fields) {
    const value = fieldValue(fields, rule.field)
    const text = encoded(value, rule)
    return text === value ? [] : [text]
  },
  describe,
  blank: (rule) => ({ contentType: BLANK_TYPES[rule.in], body: blankOf(rule) }),
  samples: [{ pointer: '/api_key' }, { pointer: '/auth/0/a~1b', field: 'token' }, { form: 'token', field: 'secret' }],
})

function describe({ in: kind, at }: Options): string {
  return kind === 'json' ? `body ${at}` : `body, form field ${at}`
}

function notInjectable(detail: string): KeywardError {
  return new KeywardError('body_not_injectable', detail)
}

function isMeant(head: RequestHead, rule: Options): boolean {
  const types = headerValues(head.headers, 'content-type').flatMap((value) => value.split(','))
  return types.some((type) => TYPES[rule.in].test(mediaType(type)))
}

function mediaType(value: string): string {
  return (value.split(';', 1)[0] ?? '').trim().toLowerCase()
}

/** Whether the body is compressed: what it holds is then not known. */
function isCoded(head: RequestHead): boolean {
  return headerValues(head.headers, 'content-encoding').some((value) => value.trim().toLowerCase() !== 'identity')
}

/** The text of a body in which the place may be, or null. What two readers could read in two ways is refused. */
function textOf({ head, body: bytes }: WholeRequest, rule: Options): string | null {
  if (bytes === null || bytes.length === 0) return null
  if (isCoded(head)) throw notInjectable('The body has a content coding; it is read as it is.')
  if (!isMeant(head, rule)) return null
  const [type = '', ...others] = headerValues(head.headers, 'content-type')
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/gi
  const foreign = [...type.matchAll(charset)].some(([, name = '']) => !/^(?:utf-?8|us-ascii)$/i.test(name))
  if (others.length > 0 || type.includes(',') || foreign)
    throw notInjectable('The body is not declared to be UTF-8 of one type, and nothing else.')
  try {
    return utf8.decode(bytes)
  } catch {
    throw notInjectable('The body is not UTF-8.')
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Where the credential belongs, or null where the body has no such place. */
function placeIn(text: string, rule: Options): { readonly start: number; readonly end: number } | null {
  const found = rule.in === 'json' ? findJsonString(text, rule.at) : findParameter(text, rule.at)
  switch (found) {
    case 'absent':
      return null
    case 'twice':
      throw new KeywardError('placeholder_ambiguous', `The place ${describe(rule)} is there twice.`)
    case 'no-json':
      throw notInjectable('The body is not JSON (RFC 8259).')
    case 'unreadable':
      throw notInjectable('The body holds an escape that is none.')
    case 'other':
      throw new KeywardError('placeholder_required', `What stands in ${describe(rule)} is not a string.`)
    default:
      return found
  }
}

function decoded(written: string, rule: Options): string {
  if (rule.in === 'form') return decodeURIComponent(written.replaceAll('+', ' '))
  const text: unknown = JSON.parse(`"${written}"`)
  return typeof text === 'string' ? text : ''
}

function encoded(value: string, rule: Options): string {
  return rule.in === 'form' ? encodeURIComponent(value) : JSON.stringify(value).slice(1, -1)
}

/** The smallest body that has the place. */
function blankOf(rule: Options): string {
  if (rule.in === 'form') return `a=1&${rule.at}=&b=%20`
  const parts = pointerParts(rule.at) ?? []
  return parts.reduceRight(
    (inner, part) => (part === '0' ? `[${inner}]` : `{"before":[1,"}"],${JSON.stringify(part)}: ${inner}}`),
    '""',
  )
}
