import { readName, type CorpusTest, type Tried } from '../test/attacks/table.ts'

export interface Report {
  readonly tried: readonly Tried[]
  /** Tests of the corpus, which belong to all rows about parsers. */
  readonly corpus: readonly CorpusTest[]
  /** Each failed test, and each file that could not be run, with the reason. */
  readonly failures: readonly string[]
  readonly failed: boolean
}

interface JsonReport {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly title: string
      readonly status: string
      readonly failureMessages: readonly string[] | null
    }[]
  }[]
}

const IN_CORPUS = /[\\/]attacks[\\/]corpus[\\/]/

/** The JSON report of vitest (which is that of Jest) as the table wants it. `status`: what vitest ended with. */
export function readReport(text: string, status: number): Report {
  const { testResults }: JsonReport = JSON.parse(text)
  const failures: string[] = []
  const tried: Tried[] = []
  const corpus: CorpusTest[] = []
  for (const file of testResults) {
    // A file that does not load, or whose set-up fails, has no tests; its rows must not look untried only.
    if (file.status === 'failed' && file.message !== '') failures.push(`${file.name}\n${file.message}`)
    for (const one of file.assertionResults) {
      const outcome = outcomeOf(one.status)
      if (outcome === 'failed') failures.push([one.title, ...(one.failureMessages ?? [])].join('\n'))
      if (IN_CORPUS.test(file.name)) corpus.push({ title: one.title, outcome })
      else tried.push({ ...readName(one.title), outcome })
    }
  }
  return { tried, corpus, failures, failed: failures.length > 0 || status !== 0 }
}

function outcomeOf(status: string): Tried['outcome'] {
  if (status === 'passed' || status === 'failed') return status
  return status === 'todo' ? 'declared' : 'skipped'
}
