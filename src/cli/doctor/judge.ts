import type { ContainmentMode } from '../../containment/plan.ts'
import type { Io } from '../io.ts'
import type { Canary } from './canary.ts'
import { echoForms } from './echo-upstream.ts'
import { closed, notClosed } from './finding.ts'
import type { Finding } from './finding.ts'
import { ways } from './inside/places.ts'
import type { Line, Way } from './inside/places.ts'
import { leakFinder } from './leak.ts'
import { isPromised, promises } from './promises.ts'
import type { Trial } from './trial.ts'

const doors: Readonly<Record<Way, string>> = {
  base: 'base URL',
  absolute: 'proxy, absolute form',
  connect: 'proxy, CONNECT and TLS',
}

const report = 'This is a fault of Keyward: run no agents here until it is mended, and report it.'
const broken =
  'The containment does not hold here: run no agents on this machine until this says closed, and report it.'

/** What one trial came to. `mode` is the mode that was asked for: what it promises is what is judged. */
export async function judgeTrial(io: Io, canary: Canary, trial: Trial): Promise<Finding[]> {
  if (trial.lines.length === 0) {
    const title = `a program cannot be started in containment ${trial.mode}, so nothing is proven`
    const remedy = 'Try again; if it stays, choose another boundary (`--contain`), and report it.'
    return [notClosed('broken', 'trial', 'agent', title, remedy, trial.problem ?? 'it said nothing')]
  }
  return [...judgeAnswers(canary, trial), ...judgeAttempts(trial), ...(await judgeGiven(io, canary, trial))]
}

function judgeAttempts(trial: Trial): Finding[] {
  return Object.entries(promises).map(([id, promised]) => {
    const { group, title, remedy } = promised
    const line = trial.lines.find((one) => (one.kind === 'attempt' || one.kind === 'untried') && one.id === id)
    const expected = isPromised(id, promised, trial.mode)
    if (line?.kind === 'untried')
      return notClosed('unproven', id, group, perhaps(title), untriedRemedy(trial.mode), line.why)
    if (line?.kind !== 'attempt') {
      const why = `was not tried: ${trial.problem ?? 'no answer'}`
      return notClosed(expected ? 'broken' : 'unproven', id, group, perhaps(title), broken, why)
    }
    if (!line.got) return closed(id, group, `cannot ${title}`)
    return notClosed(expected ? 'broken' : 'open', id, group, `can ${title}`, expected ? broken : remedy, line.detail)
  })
}

function perhaps(title: string): string {
  return `perhaps can ${title}`
}

function untriedRemedy(mode: ContainmentMode): string {
  return mode === 'none'
    ? 'Use a contained mode.'
    : 'Allow a fresh /proc to be mounted (in a container: unmask /proc), and try again.'
}

/** One finding a door. It holds only where the real secret went out and nothing of it came back. */
function judgeAnswers(canary: Canary, trial: Trial): Finding[] {
  const leakIn = leakFinder(canary.secret)
  return ways.map((way) => {
    const id = `echo-${way}`
    const title = `read the secret back by an echo (${doors[way]})`
    const leaks: string[] = []
    const silent: string[] = []
    for (const form of echoForms) {
      const line = answerTo(trial.lines, way, form)
      if (line === undefined || !canary.upstream.received(way, form)) silent.push(form)
      if (line === undefined) continue
      const leak = leakIn(Buffer.from(line.head, 'latin1')) ?? leakIn(Buffer.from(line.body, 'base64'), line.coding)
      if (leak !== null) leaks.push(`${form} (${leak})`)
    }
    if (leaks.length > 0)
      return notClosed('broken', id, 'echo', `can ${title}`, report, `came back: ${leaks.join(', ')}`)
    if (silent.length > 0) {
      const why = trial.lines.find((line) => line.kind === 'unanswered' && line.way === way)
      const cause = why?.kind === 'unanswered' ? why.why : (trial.problem ?? statusesOf(trial.lines, way))
      const remedy =
        'The gateway does not answer the agent: `keyward status`, `keyward journal tail` and the log say more.'
      return notClosed('broken', id, 'echo', perhaps(title), remedy, `not proven for ${silent.join(', ')}: ${cause}`)
    }
    return closed(id, 'echo', `cannot ${title}`, `${echoForms.length} forms of answer`)
  })
}

function answerTo(lines: readonly Line[], way: Way, form: string): Extract<Line, { kind: 'answer' }> | undefined {
  for (const line of lines) if (line.kind === 'answer' && line.way === way && line.form === form) return line
  return undefined
}

function statusesOf(lines: readonly Line[], way: Way): string {
  const statuses = lines.flatMap((line) => (line.kind === 'answer' && line.way === way ? [line.status] : []))
  return `answered ${[...new Set(statuses)].join(', ') || 'nothing'}`
}

/** Variables, arguments and files of the agent, searched for every secret of the vault. */
async function judgeGiven(io: Io, canary: Canary, trial: Trial): Promise<Finding[]> {
  const own = trial.lines.find((line) => line.kind === 'own')
  const texts = own?.kind === 'own' ? own.texts : []
  const judge = async (id: string, title: string, named: readonly (readonly [string, string])[]): Promise<Finding> => {
    if (named.length === 0)
      return notClosed('broken', id, 'agent', perhaps(title), broken, `was not tried: ${trial.problem ?? 'no answer'}`)
    const { found } = await io.client().call('POST /occurrences', {}, { texts: named.map(([, text]) => text) })
    const leakIn = leakFinder(canary.secret)
    const holding = named.flatMap(([name, text], index) =>
      found[index] === true || leakIn(Buffer.from(text)) !== null ? [name] : [],
    )
    if (holding.length === 0) return closed(id, 'agent', `cannot ${title}`, `${named.length} searched`)
    return notClosed(
      'broken',
      id,
      'agent',
      `can ${title}`,
      report,
      `a secret of the vault stands in ${holding.join(', ')}`,
    )
  }
  const nameOf = (text: string): string => /^(\w+)=/.exec(text)?.[1] ?? 'an argument'
  return [
    await judge(
      'agent-variables',
      'find a secret in its variables or arguments',
      texts.map((text) => [nameOf(text), text]),
    ),
    await judge('agent-files', 'find a secret in the files that were laid down for it', [...trial.files]),
  ]
}
