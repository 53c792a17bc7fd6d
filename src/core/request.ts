/** Lower-case name and value, in the order in which they were received. */
export type HeaderPair = readonly [name: string, value: string]

/**
 * A request in its one canonical form. Policy reads this object and the dialler writes this object:
 * nothing is parsed a second time. `target` is path and query exactly as they go on the wire.
 */
export interface RequestHead {
  readonly method: string
  readonly scheme: 'https' | 'http'
  /** Lower-case host name or IP literal without brackets, no trailing dot. */
  readonly host: string
  readonly port: number
  /** Origin form: path, and `?query` if there is one. Bytes 0x21 to 0x7e only. */
  readonly target: string
  readonly headers: readonly HeaderPair[]
}

/** The path of a target, without the query. */
export function pathOf(target: string): string {
  const mark = target.indexOf('?')
  return mark < 0 ? target : target.slice(0, mark)
}

/** Every value of a header, in order. `name` is lower-case. */
export function headerValues(headers: readonly HeaderPair[], name: string): string[] {
  const values: string[] = []
  for (const [key, value] of headers) if (key === name) values.push(value)
  return values
}
