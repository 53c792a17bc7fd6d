import process from 'node:process'
import { controlAttempts } from './control.ts'
import { echoAnswers } from './echo.ts'
import { fileAttempts } from './files.ts'
import { networkAttempts } from './network.ts'
import { ownTexts, processAttempts } from './processes.ts'
import { Untried } from './places.ts'
import type { Attempt, Line, Places } from './places.ts'

/**
 * What `doctor` starts where an agent would be started. It tries what a hostile agent would, harms
 * nothing, and prints what came of it, one JSON object a line. Uncontained, nearly all of it succeeds.
 */
const places: Places = JSON.parse(await textOf(process.stdin))
const attempts: Readonly<Record<string, Attempt>> = {
  ...fileAttempts(places),
  ...controlAttempts(places),
  ...processAttempts(places),
  ...networkAttempts(places),
}

say({ kind: 'own', texts: ownTexts() })
await Promise.all([echo(), tryAll()])
say({ kind: 'end' })

async function tryAll(): Promise<void> {
  for (const [id, attempt] of Object.entries(attempts)) {
    try {
      const got = await attempt()
      say({ kind: 'attempt', id, got: got !== false, ...(typeof got === 'string' ? { detail: got } : {}) })
    } catch (error) {
      if (error instanceof Untried) say({ kind: 'untried', id, why: error.message })
      else say({ kind: 'attempt', id, got: false })
    }
  }
}

async function echo(): Promise<void> {
  for await (const line of echoAnswers(places)) say(line)
}

function say(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
