import { styleText } from 'node:util'
import { KeywardError, problemOf } from '../core/errors.ts'
import type { Io } from './io.ts'

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow'

/** Control characters of a value never reach the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd')
}

export function paint(io: Pick<Io, 'environment'>, stream: NodeJS.WriteStream, style: Style, text: string): string {
  const plain = stream.isTTY !== true || (io.environment['NO_COLOR'] ?? '') !== ''
  return plain ? text : styleText(style, text, { validateStream: false })
}

export function printLine(io: Io, line = ''): void {
  io.stdout.write(`${line}\n`)
}

/** For what is said beside the result. */
export function note(io: Io, line: string): void {
  io.stderr.write(`${line}\n`)
}

export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

/** Columns as wide as their widest cell. `empty` is said on stderr when there is no row. */
export function printTable(
  io: Io,
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  empty: string,
): void {
  if (rows.length === 0) return note(io, empty)
  const cells = [heads.map((head) => head.toUpperCase()), ...rows.map((row) => row.map(printable))]
  const widths = heads.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  cells.forEach((row, index) => {
    const line = row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
    printLine(io, index === 0 ? paint(io, io.stdout, 'dim', line) : line)
  })
}

/** Names and values, one a line. */
export function printPairs(io: Io, pairs: readonly (readonly [string, string])[]): void {
  const width = Math.max(...pairs.map(([name]) => name.length))
  for (const [name, value] of pairs)
    printLine(io, `${paint(io, io.stdout, 'dim', name.padEnd(width))}  ${printable(value)}`)
}

/** A moment, in the form in which it can be sorted and compared. */
export function moment(milliseconds: number | null): string {
  return milliseconds === null ? 'never' : new Date(milliseconds).toISOString().replace('T', ' ').slice(0, 19) + 'Z'
}

/** What is the matter and what to do, on stderr; with `json` the problem document instead. */
export function printError(io: Pick<Io, 'environment' | 'stderr'>, error: KeywardError, json: boolean): void {
  if (json) {
    io.stderr.write(`${JSON.stringify(problemOf(error.code, error.detail))}\n`)
    return
  }
  io.stderr.write(`${paint(io, io.stderr, 'red', 'keyward:')} ${printable(error.message)}\n`)
  io.stderr.write(`${paint(io, io.stderr, 'dim', 'next:')} ${error.next}\n`)
}
