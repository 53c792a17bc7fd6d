import type { Io } from '../io.ts'
import { paint, printable, printLine } from '../print.ts'
import { groups } from './finding.ts'
import type { Finding, ModeReport, Report, State } from './finding.ts'

const signs = {
  closed: { sign: '✔', word: 'ok      ', style: 'green' },
  broken: { sign: '✘', word: 'BROKEN  ', style: 'red' },
  open: { sign: '!', word: 'open    ', style: 'yellow' },
  unproven: { sign: '?', word: 'unproven', style: 'yellow' },
} as const satisfies Record<State, { sign: string; word: string; style: 'green' | 'red' | 'yellow' }>

const noneOpen = 'none contains nothing: a program that you start reads whatever you can read, the root key included.'

/** What was tried, group by group, then what stands open and how to close it. */
export function showReport(io: Io, report: Report): void {
  const used = report.modes.find((one) => one.inUse)
  printLine(
    io,
    `Containment ${report.mode}, home ${printable(report.home)}. What a program started by keyward run can and cannot do here:`,
  )
  const all = [...(used?.findings ?? []), ...report.findings]
  for (const [group, title] of Object.entries(groups)) {
    const findings = all.filter((finding) => finding.group === group)
    if (findings.length === 0) continue
    printLine(io)
    printLine(io, paint(io, io.stdout, 'bold', title))
    for (const finding of findings) showFinding(io, finding)
  }
  for (const mode of report.modes) if (!mode.inUse) showOther(io, mode)
  showOpen(io, report, all, used)
  printLine(io)
  const broken = all.filter((finding) => finding.state === 'broken').length
  const verdict = report.ok
    ? `Every promise of ${report.mode} holds on this machine.`
    : `${broken === 1 ? 'One promise' : `${broken} promises`} of ${report.mode} ${broken === 1 ? 'is' : 'are'} broken on this machine.`
  printLine(io, paint(io, io.stdout, report.ok ? 'green' : 'red', verdict))
}

function showFinding(io: Io, finding: Finding): void {
  const { title, detail, remedy, state } = finding
  const plain = io.stdout.isTTY !== true || (io.environment['NO_COLOR'] ?? '') !== ''
  const mark = plain ? signs[state].word : paint(io, io.stdout, signs[state].style, signs[state].sign)
  printLine(io, `  ${mark} ${printable(title)}${detail === undefined ? '' : `: ${printable(detail)}`}`)
  if (remedy !== undefined && state !== 'open') printLine(io, `      ${printable(remedy)}`)
}

function showOther(io: Io, { mode, findings }: ModeReport): void {
  const closed = findings.filter((finding) => finding.state === 'closed').length
  printLine(io)
  printLine(io, paint(io, io.stdout, 'bold', `With --contain ${mode}: ${closed} of ${findings.length} ways are closed`))
  for (const finding of findings) if (finding.state !== 'closed') showFinding(io, finding)
}

/** The honest part: what nobody promised in this mode, each remedy once. */
function showOpen(io: Io, report: Report, findings: readonly Finding[], used: ModeReport | undefined): void {
  printLine(io)
  printLine(io, paint(io, io.stdout, 'bold', `Open in ${report.mode}, and how to close it`))
  const remedies = new Map<string, string[]>()
  for (const { state, title, remedy = '' } of findings) {
    if (state === 'open') remedies.set(remedy, [...(remedies.get(remedy) ?? []), title])
  }
  for (const [remedy, titles] of remedies) {
    printLine(io, `  - ${printable(titles.join('; '))}.`)
    printLine(io, `    ${printable(remedy)}`)
  }
  for (const sentence of used?.open ?? []) printLine(io, `  - ${printable(sentence)}`)
  if (report.mode !== 'none') printLine(io, `  - ${noneOpen}`)
  for (const { mode, missing, remedy } of report.unavailable) {
    printLine(io, `  - ${mode} cannot be had here: ${printable(missing)} ${printable(remedy)}`)
  }
}
