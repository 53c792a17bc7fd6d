import { readConfig } from '../../config.ts'
import type { Address } from '../../config.ts'
import type { Call, JsonOption } from '../io.ts'
import { printJson, printTable } from '../print.ts'

export function show({ io, options }: Call<JsonOption>): void {
  const { settings } = readConfig({}, io.environment)
  if (options.json === true) return printJson(io, settings)
  const rows = Object.entries(settings).map(([name, { value, origin }]) => [name, written(value), origin])
  printTable(io, ['setting', 'value', 'from'], rows, 'There is no setting.')
}

function written(value: string | number | boolean | null | Address): string {
  if (value === null) return '-'
  return typeof value === 'object' ? `${value.host}:${value.port}` : String(value)
}
