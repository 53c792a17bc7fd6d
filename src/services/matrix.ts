import { describeRule } from '../injectors/placement.ts'
import type { Service } from './service.ts'

/** The page `docs/guide/services.md`: everything that belongs to a vendor, in one table and one paragraph for each. */
export function serviceMatrix(services: readonly Service[]): string {
  const lines = [
    '# Services',
    '',
    'The APIs that Keyward knows from the start. This page is written from the rows in `src/services`; a test keeps the two equal.',
    'One’s own service, or another host for one of these, is a small YAML file: [service files](../formats/service.md).',
    '',
    'Checked: *sdk* means that the vendor’s own client was seen to put the key into one of these places, with the variables and the base URL where it reads any; the other places, and everything marked *documented*, rest on documentation.',
    '',
    row(['id', 'hosts', 'where the key goes', 'variables of the key', 'base URL', 'checked']),
    row(['---', '---', '---', '---', '---', '---']),
    ...services.map((service) =>
      row([
        `[${service.id}](#${service.id})`,
        service.hosts.map(code).join('<br>'),
        service.inject.map(describeRule).map(code).join('<br>'),
        Object.values(service.variables.fields).flat().map(code).join('<br>'),
        baseUrl(service),
        service.checked,
      ]),
    ),
    '',
    ...services.flatMap(details),
    ...notes(services),
  ]
  return `${lines.join('\n').trimEnd()}\n`
}

function details(service: Service): string[] {
  const fields = Object.entries(service.fields).map(([name, kind]) => `${code(name)} (${kind})`)
  const names = [...new Set(service.operations.map((operation) => operation.name))]
  const destructive = new Set(
    service.operations.filter((operation) => operation.destructive).map((operation) => operation.name),
  )
  return [
    `## ${service.id}`,
    '',
    `${service.name}. Fields: ${fields.join(', ')}. Detector: ${code(service.detector ?? 'generic')}.${service.encodedSlash ? ' A path segment may hold `%2F`.' : ''}`,
    '',
    `Operations (**bold**: destructive): ${names.map((name) => (destructive.has(name) ? `**${code(name)}**` : code(name))).join(', ')}.`,
    '',
    service.sealed === undefined
      ? 'Sealed: nothing, because no call that hands out a credential is known.'
      : `Sealed, because the answer or the call hands out a credential: ${service.sealed.map(code).join(', ')}.`,
    '',
    ...speaks(service),
    ...frames(service),
    `Source: ${service.source}.`,
    '',
  ]
}

function speaks({ speaks: speeches = [] }: Service): string[] {
  if (speeches.length === 0) return []
  return [
    `Judged by what the body asks for: ${speeches.map(({ path, language }) => `${language} at ${code(path)}`).join(', ')}.`,
    '',
  ]
}

function frames({ frames: places = [] }: Service): string[] {
  if (places.length === 0) return []
  return [
    `In messages of a WebSocket: ${places.map(({ pointer, field }) => `${code(field)} at ${code(pointer)}`).join(', ')}.`,
    '',
  ]
}

const unconfirmed = / documented only, not confirmed$/

/** What the sources of the rows say that nothing confirmed. */
function notes(services: readonly Service[]): string[] {
  const entries = services.flatMap(({ id, source }) =>
    source
      .split('; ')
      .filter((part) => unconfirmed.test(part))
      .map((part) => `- ${id}: ${part.replace(unconfirmed, '')}`),
  )
  return [
    '## Not confirmed',
    '',
    'Taken from documentation or from long use; no vendor’s file or client that shows it was opened.',
    '',
    ...entries,
    '',
  ]
}

function baseUrl({ variables }: Service): string {
  if (variables.baseUrl === undefined) return ''
  const path = variables.basePath === '' || variables.basePath === undefined ? '' : `, then ${code(variables.basePath)}`
  return `${variables.baseUrl.map(code).join('<br>')}${path}`
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function code(text: string): string {
  return `\`${text}\``
}
