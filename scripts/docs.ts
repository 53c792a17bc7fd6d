import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openApiDocument } from '../src/api/openapi.ts'
import { errors } from '../src/core/errors.ts'
import { manualOf } from '../src/cli/manual.ts'
import { createProgram } from '../src/cli/program.ts'
import { VERSION } from '../src/core/version.ts'
import { services } from '../src/services/index.ts'
import { serviceMatrix } from '../src/services/matrix.ts'
import { limitsPage } from './limits.ts'
import { policySchemaText } from './policy-schema.ts'

const root = join(import.meta.dirname, '..')
const cell = (text: string): string => text.replaceAll('|', '\\|')

const rows = Object.entries(errors).map(
  ([code, row]) => `| \`${code}\` | ${row.status} | ${row.exit} | ${cell(row.title)} | ${cell(row.next)} |`,
)
writeFileSync(
  join(root, 'docs/errors.md'),
  `# Errors

Every refusal carries a stable code: in problem JSON (RFC 9457) as \`code\`, in the header \`keyward-error\`, on the terminal before the next step. The status is what the gateway and the API answer; the exit code is what the command ends with (\`run\` ends with 125 for failures of its own).

This page is made from \`src/core/error-table.ts\` by \`npm run docs\`.

| code | status | exit | what happened | what to do |
|---|---|---|---|---|
${rows.join('\n')}
`,
)

writeFileSync(join(root, 'docs/guide/limits.md'), limitsPage())
writeFileSync(join(root, 'docs/formats/openapi.json'), `${JSON.stringify(openApiDocument(VERSION), null, 2)}\n`)
writeFileSync(join(root, 'docs/formats/policy-files.schema.json'), policySchemaText())
writeFileSync(join(root, 'docs/guide/services.md'), serviceMatrix(services))

const unopened = (): never => {
  throw new Error('the manual performs no command')
}
const program = createProgram(
  { open: unopened, finish: unopened, stdout: process.stdout, stderr: process.stderr },
  VERSION,
)
writeFileSync(join(root, 'docs/guide/commands.md'), manualOf(program))
