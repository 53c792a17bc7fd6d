import { z } from 'zod'
import { fieldName, headerFieldValue } from './field-value.ts'
import { afterScheme, soleHeader, withHeader } from './header-place.ts'
import { defineInjector } from './injector.ts'

/** `Authorization: Bearer KEY` (RFC 6750 section 2.1). Options: `field`, `key` unless named. */
export const bearer = defineInjector({
  kind: 'bearer',
  options: z.strictObject({ field: fieldName.default('key') }),
  place: () => ({ in: 'header', name: 'authorization' }),
  fields: ({ field }) => [field],
  find(head, { field }) {
    const text = afterScheme(soleHeader(head, 'authorization'), 'bearer')
    return text === null ? null : { field, text }
  },
  inject: (head, { field }, fields) => withHeader(head, 'authorization', `Bearer ${headerFieldValue(fields, field)}`),
  derived: () => [],
  describe: () => 'header authorization, Bearer',
  samples: [{}, { field: 'token' }],
})
