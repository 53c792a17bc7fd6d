import { fronts, inside } from './attack.ts'
import { findRow, rows, type AttackRow } from './rows.ts'

/** One test of the suite, as its name and its outcome say. */
export interface Tried {
  readonly id: string
  /** A front, `inside`, `open` or `not applicable`. */
  readonly at: string
  readonly title: string
  readonly outcome: 'passed' | 'failed' | 'skipped' | 'declared'
}

/** A test of hostile messages made from a grammar, in which parsers are compared. */
export type CorpusTest = Pick<Tried, 'title' | 'outcome'>

/**
 * What can be said of a row. held: it was tried, and every attack failed. not held: an attack succeeded.
 * open: a part of it needs what is not built. skipped: a test could not run on this machine. no test:
 * nobody has tried. not applicable: it is about something that Keyward does not have.
 */
export type State = 'held' | 'not held' | 'open' | 'skipped' | 'no test' | 'not applicable'

export type FrontState = 'held' | 'not held' | 'open' | 'skipped'

export interface Standing {
  readonly row: AttackRow
  readonly state: State
  /** How it stands at each front that it applies to, in the order of the doors. */
  readonly fronts: readonly { readonly front: string; readonly state: FrontState }[]
  /** What was tried, each once. */
  readonly attacks: readonly string[]
  /** Why it is open, or a part of it not applicable. */
  readonly remarks: readonly string[]
}

const declarations = ['open', 'not applicable']
const places = [...fronts.map((front) => front.name), inside]

/** Reads the name that `attack`, `open` and `notApplicable` give a test. Throws on any other name. */
export function readName(name: string): Pick<Tried, 'id' | 'at' | 'title'> {
  const [id = '', at = '', ...rest] = name.split(' · ')
  if (rest.length === 0 || ![...places, ...declarations].includes(at))
    throw new Error(`The test ${JSON.stringify(name)} is not named "ID · front · title".`)
  return { id: findRow(id).id, at, title: rest.join(' · ') }
}

export function standings(tried: readonly Tried[]): Standing[] {
  return rows.map((row) =>
    standingOf(
      row,
      tried.filter((one) => one.id === row.id),
    ),
  )
}

function standingOf(row: AttackRow, tried: readonly Tried[]): Standing {
  const attacks = tried.filter(({ at }) => !declarations.includes(at))
  const open = tried.filter(({ at }) => at === 'open')
  const absent = tried.filter(({ at }) => at === 'not applicable')
  const at = places.flatMap((front) => {
    const here = attacks.filter((one) => one.at === front)
    return here.length === 0 ? [] : [{ front, state: frontState(here) }]
  })
  const is = (state: FrontState): boolean => at.some((one) => one.state === state)
  const state = (): State => {
    if (is('not held')) return 'not held'
    if (open.length > 0 || is('open')) return 'open'
    if (is('skipped')) return 'skipped'
    if (at.length > 0) return 'held'
    return absent.length > 0 ? 'not applicable' : 'no test'
  }
  return {
    row,
    state: state(),
    fronts: at,
    attacks: [...new Set(attacks.map(({ title }) => title))].toSorted(),
    remarks: [...new Set([...open, ...absent].map((one) => `${one.at}: ${one.title}`))].toSorted(),
  }
}

function frontState(tried: readonly Tried[]): FrontState {
  const are = (outcome: Tried['outcome']): boolean => tried.some((one) => one.outcome === outcome)
  if (are('failed')) return 'not held'
  if (are('declared')) return 'open'
  return are('skipped') ? 'skipped' : 'held'
}

/** How many rows are held, of those that apply. */
export function total(all: readonly Standing[]): { readonly held: number; readonly of: number } {
  return {
    held: all.filter(({ state }) => state === 'held').length,
    of: all.filter(({ state }) => state !== 'not applicable').length,
  }
}

export interface Colours {
  (colour: 'green' | 'red' | 'yellow' | 'dim', text: string): string
}

const codes = { green: 32, red: 31, yellow: 33, dim: 2 } as const
export const colourful: Colours = (colour, text) => `\u001b[${codes[colour]}m${text}\u001b[0m`
export const plain: Colours = (_colour, text) => text

/** The table for a terminal. */
export function tableText(all: readonly Standing[], corpus: readonly CorpusTest[], paint: Colours): string {
  const titles = Math.max(...all.map(({ row }) => row.title.length))
  const lines = all.map(({ row, state, fronts: at, remarks }) => {
    const where = whereText(at, (text) => paint('yellow', text))
    const said = remarks.map((remark) => paint('dim', remark)).join('; ')
    const after = [where, said].filter((text) => text !== '').join('  ')
    return `${row.id.padEnd(4)} ${row.title.padEnd(titles)}  ${stateText(state, paint)}  ${after}`.trimEnd()
  })
  const { held, of } = total(all)
  const looked = corpus.filter(({ outcome }) => outcome !== 'skipped')
  const agreed = looked.filter(({ outcome }) => outcome === 'passed').length
  const beyond = looked.length === 0 ? '' : `hostile corpus: ${agreed} of ${looked.length} tests\n`
  return `${lines.join('\n')}\n\n${beyond}held ${held} of ${of}\n`
}

/** The fronts where it is held, and behind a word of warning those where it is not: `base-url, tunnel; open: tunnel h2`. */
function whereText(at: Standing['fronts'], warn: (text: string) => string): string {
  const groups = (['held', 'not held', 'open', 'skipped'] as const).flatMap((state) => {
    const names = at.filter((one) => one.state === state).map(({ front }) => front)
    if (names.length === 0) return []
    return [state === 'held' ? names.join(', ') : warn(`${state}: ${names.join(', ')}`)]
  })
  return groups.join('; ')
}

function stateText(state: State, paint: Colours): string {
  const text = (state === 'not held' || state === 'no test' ? state.toUpperCase() : state).padEnd(14)
  const colour = { held: 'green', 'not held': 'red', 'no test': 'red', open: 'yellow', skipped: 'yellow' } as const
  return state === 'not applicable' ? paint('dim', text) : paint(colour[state], text)
}

const groups = {
  R: 'Reflection, and what comes back',
  D: 'Destinations',
  P: 'Parsers',
  I: 'Identity',
  S: 'Storage and operations',
  V: 'What other gateways were caught with',
} as const

/** The page `docs/guide/attacks.md`. */
export function pageText(all: readonly Standing[], corpus: readonly CorpusTest[]): string {
  const { held, of } = total(all)
  const sections = Object.entries(groups).map(([letter, title]) => {
    const here = all.filter(({ row }) => row.id.startsWith(letter))
    return `## ${letter}. ${title}\n\n| id | attack | standing | tried at | what is tried |\n|---|---|---|---|---|\n${here.map(rowText).join('\n')}\n`
  })
  return `# Attacks

What a hijacked agent, a hostile service or a stolen file could try against a gateway that puts credentials into requests, and whether Keyward holds. Each row is at least one automated test under \`test/attacks/\`, named by the row's id; \`npm run attacks\` runs them all and prints this table, \`npm run attacks -- --write\` writes this page.

A row is held when every attack of it failed at every door that it applies to. A row of which a part is not built yet is open, and counts as not held.

**Held: ${held} of ${of}.**

${sections.join('\n')}${corpusText(corpus)}`
}

/** A title that several groups have stands once; it passed if all of them did. */
function corpusText(corpus: readonly CorpusTest[]): string {
  const titles = [...new Set(corpus.map(({ title }) => title))].toSorted()
  if (titles.length === 0) return ''
  const rowsOf = titles.map((title) => {
    const passed = corpus.every((one) => one.title !== title || one.outcome === 'passed')
    return `| ${cell(title)} | ${passed ? 'held' : '**not held**'} |`
  })
  return `
## Beyond the rows

Hostile requests and answers from a grammar with a seed: each is refused, or sent exactly as policy read it, and Keyward's own parsers accept nothing that the yardstick refuses, and read nothing in another way.

| what | standing |
|---|---|
${rowsOf.join('\n')}
`
}

function rowText({ row, state, fronts: at, attacks, remarks }: Standing): string {
  const where = whereText(at, (text) => `*${text}*`)
  const what = [...attacks, ...remarks.map((remark) => `*${remark}*`)].join('; ')
  return `| ${[row.id, row.title, state === 'held' ? 'held' : `**${state}**`, where, what].map(cell).join(' | ')} |`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
