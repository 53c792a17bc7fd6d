import { errors } from './error-table.ts'

export { errors } from './error-table.ts'

export type ErrorCode = keyof typeof errors

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errors, code)
}

/**
 * An error with a stable code. `detail` is one sentence about this very case, fit to be shown to the
 * one who caused it: it never holds a secret, nor a rejected token.
 */
export class KeywardError extends Error {
  readonly code: ErrorCode
  readonly detail: string | undefined

  constructor(code: ErrorCode, detail?: string, options?: { cause?: unknown }) {
    super(detail === undefined ? errors[code].title : `${errors[code].title} ${detail}`, options)
    this.name = 'KeywardError'
    this.code = code
    this.detail = detail
  }

  get status(): number {
    return errors[this.code].status
  }

  get exit(): 1 | 2 | 3 {
    return errors[this.code].exit
  }

  get next(): string {
    return errors[this.code].next
  }
}

/** RFC 9457 problem details, as an agent or a program receives them. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail?: string
  readonly next: string
  readonly rule?: string
  /** The same in one sentence, where the official SDKs of model providers look for it: they show their users nothing else. */
  readonly error: { readonly message: string; readonly type: 'keyward'; readonly code: ErrorCode }
}

export function problemOf(code: ErrorCode, detail?: string, rule?: string): Problem {
  const { title, status, next } = errors[code]
  return {
    type: `urn:keyward:error:${code}`,
    title,
    status,
    code,
    ...(detail === undefined ? {} : { detail }),
    next,
    ...(rule === undefined ? {} : { rule }),
    error: {
      message: ['Keyward:', title, detail, next].filter((part) => part !== undefined).join(' '),
      type: 'keyward',
      code,
    },
  }
}
