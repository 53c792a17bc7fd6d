import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { FieldValues } from './injector.ts'

/** Name of a field of a credential. */
export const fieldName = z.string().regex(/^[a-zA-Z][a-zA-Z0-9_]{0,63}$/, 'a field name is letters, digits and _')

const controlCharacters = /\p{Cc}/u
const headerText = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/**
 * The value of a field, fit to be encoded into a request: present, not empty, whole Unicode, without
 * control characters. Throws KeywardError `field_missing` or `secret_not_injectable`, which name the
 * field and never the value.
 */
export function fieldValue(fields: FieldValues, name: string): string {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined
  if (value === undefined) throw new KeywardError('field_missing', `Its name is ${name}.`)
  if (value === '') throw new KeywardError('secret_not_injectable', `The field ${name} is empty.`)
  if (controlCharacters.test(value) || !value.isWellFormed()) {
    throw new KeywardError('secret_not_injectable', `The field ${name} has a control character.`)
  }
  return value
}

/** The same for a value that stands in a header as it is: printable ASCII, no space at either end. */
export function headerFieldValue(fields: FieldValues, name: string): string {
  const value = fieldValue(fields, name)
  if (!headerText.test(value)) {
    throw new KeywardError('secret_not_injectable', `The field ${name} has characters that a header cannot carry.`)
  }
  return value
}
