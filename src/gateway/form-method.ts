/** The longest writing of a parameter's name that is read; `_method` with each letter escaped has 21 bytes. */
export const PARAMETER_NAME_MAXIMUM_BYTES = 64

/**
 * Finds the parameter `_method` in a query or form, in pieces of any size. Some frameworks take the method from
 * there, behind the back of whoever judged the request line. Spaces before a name are dropped by some readers,
 * and PHP reads a dot or an opening bracket in a name as an underscore (php.net, Variables From External Sources).
 */
export class MethodParameter {
  /** What came of the name so far, as it is written; null within a value, or where the name is another. */
  #name: string | null = ''

  /** Whether it was found. */
  push(bytes: Uint8Array): boolean {
    for (const byte of bytes) {
      // Both have separated parameters (HTML 4.01 appendix B.2.2).
      if (byte === 0x26 || byte === 0x3b) this.#name = ''
      else if (this.#name !== null) {
        if (byte === 0x3d) {
          if (isMethod(this.#name)) return true
          this.#name = null
        } else this.#name = nameWith(this.#name, byte)
      }
    }
    return false
  }
}

/** The name as it is written, with one more byte, and without the spaces before it. */
function nameWith(name: string, byte: number): string | null {
  const longer = `${name}${String.fromCharCode(byte)}`.replace(/^(?:[ +]|%20)/, '')
  return longer.length > PARAMETER_NAME_MAXIMUM_BYTES ? null : longer
}

/** Whether a name, as it is written in a form or a query, is `_method` to some reader. */
export function isMethod(written: string): boolean {
  const name = written.replaceAll(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)))
  return /^[_.[]method$/i.test(name)
}

/** Whether the query of a target names another method. */
export function namesMethod(target: string): boolean {
  const mark = target.indexOf('?')
  return mark >= 0 && new MethodParameter().push(Buffer.from(target.slice(mark + 1), 'latin1'))
}
