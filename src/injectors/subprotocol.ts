import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import { fieldName, headerFieldValue } from './field-value.ts'
import { soleHeader, withHeader } from './header-place.ts'
import { defineInjector } from './injector.ts'

const NAME = 'sec-websocket-protocol'
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const protocol = z.string().max(128).regex(token, 'a subprotocol is an RFC 9110 token')

/**
 * A subprotocol that a WebSocket client offers (RFC 6455 section 11.3.4), where a client can set no header:
 * `prefix`, followed by the field. Options: `prefix`; `field`, `key` unless named; `beside`, the other
 * subprotocols that are passed on: what is not listed is taken out, for it could be a credential as well.
 */
export const subprotocol = defineInjector({
  kind: 'subprotocol',
  options: z.strictObject({
    prefix: protocol,
    field: fieldName.default('key'),
    beside: z.array(protocol).max(16).default([]),
  }),
  place: () => ({ in: 'header', name: NAME }),
  fields: ({ field }) => [field],
  find(head, { prefix, field, beside }) {
    const texts = offered(soleHeader(head, NAME))
      .filter((one) => one.startsWith(prefix) && !beside.includes(one))
      .map((one) => one.slice(prefix.length))
    if (texts.length > 1) throw new KeywardError('placeholder_ambiguous', `The subprotocol ${prefix} is there twice.`)
    const [text = ''] = texts
    return text === '' ? null : { field, text }
  },
  inject(head, { prefix, field, beside }, fields) {
    const value = headerFieldValue(fields, field)
    if (!token.test(value))
      throw new KeywardError(
        'secret_not_injectable',
        `The field ${field} has characters that a subprotocol cannot carry.`,
      )
    const written = prefix + value
    const given = head.headers.filter(([name]) => name === NAME).flatMap(([, list]) => offered(list))
    const kept = given.flatMap((one) => (beside.includes(one) ? [one] : one.startsWith(prefix) ? [written] : []))
    return withHeader(head, NAME, [...new Set(kept.includes(written) ? kept : [...kept, written])].join(', '))
  },
  derived: () => [],
  describe: ({ prefix }) => `header ${NAME}, ${prefix}…`,
  samples: [{ prefix: 'x-key.' }, { prefix: 'auth-', field: 'token', beside: ['chat', 'chat.v2'] }],
})

function offered(list: string | null): string[] {
  return list === null ? [] : list.split(',').map((one) => one.trim())
}
