import { z } from 'zod'
import { fieldName } from './field-value.ts'

/** A text with one `{field}` in it. */
export interface Template {
  readonly text: string
  readonly before: string
  readonly field: string
  readonly after: string
}

const form = /^([^{}]*)\{([^{}]+)\}([^{}]*)$/

/** Printable ASCII around exactly one `{field}`: `token {key}`, `/bot{token}`. */
export const template = z
  .string()
  .max(256)
  .regex(/^[\x20-\x7e]+$/, 'a template is printable ASCII')
  .transform((text, context): Template => {
    const match = form.exec(text)
    const field = match?.[2]
    if (match === null || field === undefined || !fieldName.safeParse(field).success) {
      context.issues.push({ code: 'custom', message: 'a template names exactly one {field}', input: text })
      return z.NEVER
    }
    return { text, before: match[1] ?? '', field, after: match[3] ?? '' }
  })

/** Percent-encodes everything that is not plain in one path segment or one query value (RFC 3986), and `;`. */
export function encodeSegment(value: string): string {
  return encodeURIComponent(value).replace(/%(?:3A|40|24|2C)/g, (triplet) => decodeURIComponent(triplet))
}

/** The decoded text, or the text itself where the escapes are broken (it is then no placeholder anyway). */
export function decodeSegment(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
