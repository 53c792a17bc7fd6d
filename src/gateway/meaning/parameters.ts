import type { Fault } from './tally.ts'

/**
 * The parameters of a target, decoded (WHATWG URL, application/x-www-form-urlencoded). A semicolon has separated
 * parameters as well (HTML 4.01 appendix B.2.2), so one that is not escaped would be a second reading.
 */
export function parametersOf(target: string): readonly (readonly [name: string, value: string])[] | Fault {
  const mark = target.indexOf('?')
  const query = mark < 0 ? '' : target.slice(mark + 1)
  if (query === '') return []
  if (query.includes(';')) return { fault: 'The query holds a semicolon that is not escaped.' }
  const found: (readonly [string, string])[] = []
  for (const part of query.split('&')) {
    const equals = part.indexOf('=')
    const name = decoded(equals < 0 ? part : part.slice(0, equals))
    const value = decoded(equals < 0 ? '' : part.slice(equals + 1))
    if (name === null || value === null) return { fault: 'The query holds escapes that are not UTF-8.' }
    found.push([name, value])
  }
  return found
}

function decoded(written: string): string | null {
  try {
    return decodeURIComponent(written.replaceAll('+', ' '))
  } catch {
    return null
  }
}
