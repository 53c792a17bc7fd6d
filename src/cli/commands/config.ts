import { readConfig } from '../../config.ts'
import type { Settings } from '../../config.ts'
import type { Call, JsonOption } from '../io.ts'
import { printJson, printTable } from '../print.ts'
import { withoutPassword } from '../without-password.ts'

export function show({ io, options }: Call<JsonOption & { config?: string }>): void {
  const { settings } = readConfig({ config: options.config }, io.environment)
  const rows = Object.entries(settings).map(([name, { value, origin, from }]) => ({
    name,
    value: typeof value === 'string' ? withoutPassword(value) : value,
    origin,
    from,
  }))
  if (options.json === true)
    return printJson(io, Object.fromEntries(rows.map(({ name, ...setting }) => [name, setting])))
  printTable(
    io,
    ['setting', 'value', 'from'],
    rows.map(({ name, value, origin, from }) => [name, written(value), [origin, from].filter(Boolean).join(' ')]),
    'There is no setting.',
  )
}

function written(value: Settings[keyof Settings]['value']): string {
  if (value === null) return '-'
  if (typeof value !== 'object') return String(value)
  return 'shown' in value ? value.shown : `${value.host}:${value.port}`
}
