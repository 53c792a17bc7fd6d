/** One line of a `.env` file or a shell's start-up file that gives a variable a value on that very line. */
export interface Assignment {
  readonly name: string
  readonly value: string
  /** Where the value begins and ends in the line, quotes included. */
  readonly start: number
  readonly end: number
}

const assignment = /^(\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=)(.*)$/

/**
 * Reads `NAME=value`, with `export`, quotes and a comment behind it. Null for everything else: values
 * that go on over the line, substitutions (`$…`, backticks) and arrays are left alone.
 */
export function readAssignment(line: string): Assignment | null {
  const match = assignment.exec(line)
  const head = match?.[1]
  const name = match?.[2]
  const rest = match?.[3]
  if (head === undefined || name === undefined || rest === undefined) return null
  const quoted = /^(["'])((?:(?!\1)[^\\$`])*)\1(?=\s*(?:[;#].*)?$)/.exec(rest)
  const bare = /^([^\s"'`$\\;&|<>()#]+)(?=\s*(?:[;#].*)?$)/.exec(rest)
  const value = quoted?.[2] ?? bare?.[1]
  const text = quoted?.[0] ?? bare?.[0]
  return value === undefined || text === undefined
    ? null
    : { name, value, start: head.length, end: head.length + text.length }
}

/** The line with another value; quoted where a shell or a parser would misread it, or null where no quoting is safe. */
export function writeAssignment(line: string, at: Assignment, value: string): string | null {
  const written = /^[A-Za-z0-9_./:@%+,=-]+$/.test(value) ? value : /['\n\r\\]/.test(value) ? null : `'${value}'`
  return written === null ? null : line.slice(0, at.start) + written + line.slice(at.end)
}
