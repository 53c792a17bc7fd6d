import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import { looksLikePlaceholder } from '../core/placeholder.ts'
import { fieldName, fieldValue } from './field-value.ts'
import { afterScheme, soleHeader, withHeader } from './header-place.ts'
import { defineInjector } from './injector.ts'
import type { FieldValues } from './injector.ts'

const literal = z
  .string()
  .max(256)
  .regex(/^[\x21-\x7e]*$/, 'printable ASCII without spaces')

const options = z
  .strictObject({
    user: literal.regex(/^[^:]*$/, 'a user name has no colon').optional(),
    userField: fieldName.optional(),
    password: literal.optional(),
    passwordField: fieldName.optional(),
  })
  .refine((o) => o.user === undefined || o.userField === undefined, 'give user or userField, not both')
  .refine((o) => o.password === undefined || o.passwordField === undefined, 'give password or passwordField, not both')
  .transform((o) => ({
    user: o.user ?? '',
    userField: o.userField ?? null,
    password: o.password ?? '',
    passwordField: o.passwordField ?? (o.password === undefined ? 'key' : null),
  }))
  .refine((o) => o.userField !== null || o.passwordField !== null, 'neither user nor password is a field')

type Options = z.infer<typeof options>

/**
 * `Authorization: Basic base64(user:password)` (RFC 7617, UTF-8). The user is a literal (`user`) or a
 * field (`userField`), and so is the password (`password`, `passwordField`; the field `key` unless
 * given). What the caller wrote as the other half does not matter: git clients send the key as the
 * user, or any user beside it.
 */
export const basic = defineInjector({
  kind: 'basic',
  options,
  place: () => ({ in: 'header', name: 'authorization' }),
  fields: ({ userField, passwordField }) => [userField, passwordField].filter((field) => field !== null),
  find(head, rule) {
    const encoded = afterScheme(soleHeader(head, 'authorization'), 'basic')
    if (encoded === null) return null
    const half = candidate(encoded, rule)
    return half === null ? null : { field: fieldOf(half.side, rule), text: half.text }
  },
  inject: (head, rule, fields) => withHeader(head, 'authorization', `Basic ${composite(rule, fields)}`),
  derived(rule, fields) {
    const encoded = composite(rule, fields)
    // Without its padding it is also found where an echo strips or percent-encodes the padding.
    return [encoded, encoded.replace(/=+$/, ''), `${user(rule, fields)}:${password(rule, fields)}`]
  },
  describe: ({ user: name, userField, passwordField }) =>
    `header authorization, Basic ${userField === null ? name : `{${userField}}`}:${passwordField === null ? '' : `{${passwordField}}`}`,
  samples: [
    { user: 'x-access-token' },
    { userField: 'key', password: '' },
    { userField: 'account', passwordField: 'token' },
    { user: 'any', passwordField: 'secret' },
  ],
})

interface Half {
  readonly side: 'user' | 'password'
  readonly text: string
}

function candidate(encoded: string, rule: Options): Half | null {
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  // Not Basic at all: what is there is still something that the caller presents, and no placeholder.
  if (colon < 0) return { side: rule.passwordField === null ? 'user' : 'password', text: encoded }
  const halves: Half[] = [
    { side: 'password', text: text.slice(colon + 1) },
    { side: 'user', text: text.slice(0, colon) },
  ]
  const placeholders = halves.filter((half) => looksLikePlaceholder(half.text))
  if (placeholders.length > 1)
    throw new KeywardError('placeholder_ambiguous', 'User and password are both placeholders.')
  const [placeholder] = placeholders
  if (placeholder !== undefined) return placeholder
  const filled = halves.filter((half) => half.text !== '')
  const preferred = rule.passwordField === null ? 'user' : 'password'
  return filled.find((half) => half.side === preferred) ?? filled[0] ?? null
}

function fieldOf(side: Half['side'], { userField, passwordField }: Options): string {
  return (side === 'user' ? (userField ?? passwordField) : (passwordField ?? userField)) ?? 'key'
}

function composite(rule: Options, fields: FieldValues): string {
  return Buffer.from(`${user(rule, fields)}:${password(rule, fields)}`, 'utf8').toString('base64')
}

function user(rule: Options, fields: FieldValues): string {
  if (rule.userField === null) return rule.user
  const value = fieldValue(fields, rule.userField)
  if (value.includes(':')) throw new KeywardError('secret_not_injectable', `The field ${rule.userField} has a colon.`)
  return value
}

function password(rule: Options, fields: FieldValues): string {
  return rule.passwordField === null ? rule.password : fieldValue(fields, rule.passwordField)
}
