import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { agents } from '../src/agents/index.ts'
import { openApiDocument } from '../src/api/openapi.ts'
import { createProgram } from '../src/cli/program.ts'
import { VERSION } from '../src/core/version.ts'
import { errors } from '../src/core/errors.ts'
import { detectors } from '../src/detectors/index.ts'
import { injectors } from '../src/injectors/index.ts'
import { services } from '../src/services/index.ts'
import { limitsPage } from '../scripts/limits.ts'
import { policySchemaText } from '../scripts/policy-schema.ts'

/**
 * What a reviewer would otherwise repeat: which way imports point, that folder and registry agree, that
 * documents name what exists. Each check says why it is there.
 */

const unopened = () => {
  throw new Error('No command is run here.')
}
const root = resolve(import.meta.dirname, '..')

function filesUnder(folder: string, suffix: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix) && !entry.parentPath.includes('node_modules'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .toSorted()
}

/** What stands beside the code for its tests alone. */
const forTests = /\.test\.ts$|\/trial\/|\/(fixture|crash-child|faulty-files)\.ts$/
const sources = filesUnder('src', '.ts').filter((file) => !forTests.test(file))
const read = (file: string) => readFileSync(join(root, file), 'utf8')

/** From the bottom up; a file imports from its own floor's room or from floors below. */
const floors: readonly (readonly string[])[] = [
  ['core'],
  ['agents', 'detectors', 'injectors', 'services', 'stores'],
  ['identity', 'journal', 'ledger', 'vault'],
  ['api', 'containment', 'gateway', 'client', 'monitor'],
  ['app.ts', 'config.ts'],
  ['cli'],
]

function floorOf(file: string): number {
  const room = file.split('/')[1] ?? ''
  const floor = floors.findIndex((rooms) => rooms.includes(room))
  if (floor < 0)
    throw new Error(`${file} lies in no room of the house: add its room to ARCHITECTURE.md and to this list.`)
  return floor
}

/** Imports that remain after type stripping, and type-only ones, each with its place. */
function importsOf(file: string): { path: string; typeOnly: boolean }[] {
  const found: { path: string; typeOnly: boolean }[] = []
  for (const match of read(file).matchAll(
    /^(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/gms,
  )) {
    found.push({ path: match[2] ?? match[3] ?? '', typeOnly: match[1] !== undefined })
  }
  return found
}

test('imports point down: an engine that knew a command, or a driver that knew an engine, could not be used or tested without it', () => {
  const wrong: string[] = []
  for (const file of sources) {
    for (const { path } of importsOf(file)) {
      if (!path.startsWith('.')) continue
      const target = relative(root, resolve(root, dirname(file), path))
      if (!target.startsWith('src/')) wrong.push(`${file} imports ${target}, outside src`)
      else if (floorOf(target) > floorOf(file)) wrong.push(`${file} imports ${target}`)
    }
  }
  expect(wrong).toEqual([])
})

test('core is pure: of node it may hash, and nothing else, so that every decision can be replayed', () => {
  const allowed = new Set(['node:crypto'])
  const wrong: string[] = []
  for (const file of sources.filter((candidate) => candidate.startsWith('src/core/'))) {
    for (const { path, typeOnly } of importsOf(file))
      if (!path.startsWith('.') && !typeOnly && !allowed.has(path)) wrong.push(`${file} imports ${path}`)
    if (
      /\b(Date\.now|Math\.random|randomBytes|randomUUID|process\.|performance\.now|setTimeout|setInterval)\b/.test(
        withoutComments(read(file)),
      )
    )
      wrong.push(`${file} has a clock, randomness or the process`)
  }
  expect(wrong).toEqual([])
})

test('drivers know their contract and core only', () => {
  const wrong: string[] = []
  for (const file of sources.filter((candidate) => floorOf(candidate) === 1)) {
    const room = file.split('/')[1]
    for (const { path, typeOnly } of importsOf(file)) {
      if (!path.startsWith('.')) continue
      const target = relative(root, resolve(root, dirname(file), path))
      const other = target.split('/')[1]
      // A service is data that names injectors; placing a credential reads a service's row; both by type or contract.
      const contract = /\/(service|injector|detector|store|agent)\.ts$/.test(target)
      if (
        other !== room &&
        other !== 'core' &&
        !contract &&
        !typeOnly &&
        !(room === 'services' && /^(injectors|detectors)$/.test(other ?? ''))
      )
        wrong.push(`${file} imports ${target}`)
    }
  }
  expect(wrong).toEqual([])
})

test.each([
  ['services', services.map((driver) => driver.id)],
  ['agents', agents.map((driver) => driver.id)],
  ['detectors', detectors.map((driver) => driver.id)],
  ['injectors', injectors.map((driver) => driver.kind)],
] as const)(
  '%s: every driver file is registered under its own name, and every registration has a file',
  (family, ids) => {
    const exporting = new RegExp(`^export const \\w+(: \\w+)? = |^export const \\w+ = define`, 'm')
    const registered = new Set<string>(ids)
    for (const id of ids) expect(sources, `${family}/${id}.ts`).toContain(`src/${family}/${id}.ts`)
    expect([...ids], 'alphabetical, each once').toEqual([...new Set(ids)].toSorted())
    const index = read(`src/${family}/index.ts`)
    for (const file of sources.filter((candidate) => dirname(candidate) === `src/${family}`)) {
      const id = basename(file, '.ts')
      const looksLikeDriver =
        exporting.test(read(file)) &&
        new RegExp(`satisfies (Service|Detector|AgentProgram)|: (Service|Detector|AgentProgram) =|defineInjector`).test(
          read(file),
        )
      if (looksLikeDriver && id !== 'injector' && !registered.has(id))
        throw new Error(`${file} looks like a driver and is not in the registry`)
    }
    for (const id of ids) expect(index, `${family}/index.ts imports ${id}`).toContain(`./${id}.ts`)
  },
)

test('no vendor is named in an engine or keeper: whoever adds a vendor should not have to search for switches', () => {
  const names = [...services.map((service) => service.id), ...agents.map((agent) => agent.id)].filter(
    (name) => !['generic', 'npm', 'notion'].includes(name),
  )
  const pattern = new RegExp(`\\b(${names.join('|')})\\b`, 'i')
  const rooms = /^src\/(core|vault|identity|journal|ledger|gateway|api|client|containment|stores)\//
  const wrong: string[] = []
  for (const file of sources.filter((candidate) => rooms.test(candidate))) {
    const lines = withoutComments(read(file)).split('\n')
    for (const [index, line] of lines.entries())
      if (pattern.test(line)) wrong.push(`${file}:${index + 1}: ${line.trim()}`)
  }
  expect(wrong).toEqual([])
})

test('only config.ts reads the variables of the process into settings', () => {
  const allowed = new Set(['src/config.ts'])
  const wrong = sources.filter(
    (file) => !allowed.has(file) && !file.startsWith('src/cli/') && /process\.env\b/.test(withoutComments(read(file))),
  )
  expect(wrong).toEqual([])
})

test('every command is in the guide, and what the README shows exists', () => {
  const program = createProgram(
    { open: unopened, finish: unopened, stdout: process.stdout, stderr: process.stderr },
    VERSION,
  )
  const paths = program.commands.flatMap((command) =>
    [command, ...command.commands].map((each) => (each === command ? each.name() : `${command.name()} ${each.name()}`)),
  )
  const guide = read('docs/guide/commands.md')
  expect(paths.filter((path) => path !== 'help' && !guide.includes(path))).toEqual([])
  const shown = ['README.md', 'docs/guide/laptop.md'].flatMap((file) =>
    [...read(file).matchAll(/(?:^|`)(?:\.\/)?keyward ([a-z]+)/gm)].map((match) => match[1] ?? ''),
  )
  expect(shown.length).toBeGreaterThan(5)
  const known = new Set(program.commands.map((command) => command.name()))
  expect(shown.filter((name) => !known.has(name))).toEqual([])
})

test('every error code has a row in docs/errors.md, and every row has a code', () => {
  const rows = [...read('docs/errors.md').matchAll(/^\| `([a-z_]+)` \| (\d+) \| (\d) \| (.*?) \| (.*?) \|$/gm)]
  const documented = Object.fromEntries(
    rows.map((row) => [row[1], { status: Number(row[2]), exit: Number(row[3]), title: row[4], next: row[5] }]),
  )
  const escaped = Object.fromEntries(
    Object.entries(errors).map(([code, row]) => [
      code,
      { ...row, title: row.title.replaceAll('|', '\\|'), next: row.next.replaceAll('|', '\\|') },
    ]),
  )
  expect(documented).toEqual(escaped)
})

test('docs/guide/limits.md says what the code says (`npm run docs` writes it anew)', () => {
  expect(read('docs/guide/limits.md')).toBe(limitsPage())
})

test('docs/formats/openapi.json says what the code says (`npm run docs` writes it anew)', () => {
  expect(JSON.parse(read('docs/formats/openapi.json'))).toEqual(JSON.parse(JSON.stringify(openApiDocument(VERSION))))
})

test('the JSON Schema of policy files is what apply checks with (`npm run docs` writes it anew)', () => {
  expect(read('docs/formats/policy-files.schema.json')).toBe(policySchemaText())
})

test('every decision stands in the index of decisions', () => {
  const pages = filesUnder('docs/decisions', '.md')
    .map((file) => basename(file))
    .filter((name) => name !== 'README.md')
  const listed = [...read('docs/decisions/README.md').matchAll(/\(([\w-]+\.md)\)/g)].map((match) => match[1])
  expect(listed.toSorted()).toEqual(pages)
})

test('documents link to what exists', () => {
  const broken: string[] = []
  for (const file of [
    ...filesUnder('docs', '.md'),
    'README.md',
    'ARCHITECTURE.md',
    'SECURITY.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
  ]) {
    for (const match of read(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?\)/g)) {
      const target = resolve(root, dirname(file), match[1] ?? '')
      try {
        if (!readdirSync(dirname(target)).includes(basename(target))) broken.push(`${file} -> ${match[1]}`)
      } catch {
        broken.push(`${file} -> ${match[1]}`)
      }
    }
  }
  expect(broken).toEqual([])
})

test('files can be read in one sitting and their names hold an idea', () => {
  const long = sources.filter((file) => read(file).split('\n').length > 401)
  expect(long).toEqual([])
  expect(
    sources.filter((file) =>
      /(^|\/)(utils?|helpers?|common|misc|manager|constants|types)(\.|\/)|-service\.ts$/.test(file),
    ),
  ).toEqual([])
})

test('no string in the repository looks like a live key', () => {
  const suspicious: string[] = []
  const places = ['src', 'test', 'docs', 'bench', 'scripts'].flatMap((folder) => filesUnder(folder, ''))
  for (const file of [...places, 'README.md', 'SECURITY.md']) {
    if (file.endsWith('package-lock.json')) continue
    const text = read(file)
    for (const detector of detectors) {
      if (detector.id === 'generic') continue
      for (const match of text.matchAll(
        new RegExp(detector.pattern.source, `g${detector.pattern.flags.replace('g', '')}`),
      )) {
        if (!match[0].includes('kwp')) suspicious.push(`${file}: ${detector.id}`)
      }
    }
  }
  expect(suspicious).toEqual([])
})

function withoutComments(source: string): string {
  return source
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ''))
    .replaceAll(/(^|\s)\/\/.*$/gm, '')
}
