import { readConfig } from '../../config.ts'
import type { Settings } from '../../config.ts'
import type { Call, JsonOption } from '../io.ts'
import { printJson, printTable } from '../print.ts'

export function show({ io, options }: Call<JsonOption>): void {
  const { settings } = readConfig({}, io.environment)
  if (options.json === true) return printJson(io, settings)
  const rows = Object.entries(settings).map(([name, { value, origin }]) => [name, written(value), origin])
  printTable(io, ['setting', 'value', 'from'], rows, 'There is no setting.')
}

function written(value: Settings[keyof Settings]['value']): string {
  if (value === null) return '-'
  if (typeof value !== 'object') return String(value)
  return 'shown' in value ? value.shown : `${value.host}:${value.port}`
}
