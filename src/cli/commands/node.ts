import type { Call, JsonOption } from '../io.ts'
import { firstOf } from '../io.ts'
import { moment, printJson, printLine, printTable } from '../print.ts'

export async function list({ io, options }: Call<JsonOption>): Promise<void> {
  const nodes = await io.client().call('GET /nodes', {}, {})
  if (options.json === true) return printJson(io, nodes)
  const rows = nodes.map((node) => [
    `${node.name ?? 'a node without a name'}${node.self ? ' (this one)' : ''}`,
    node.live ? 'running' : 'gone',
    node.version ?? '0.1.0',
    String(node.schema),
    node.startedAt === null ? '-' : moment(node.startedAt),
    node.seenAt === null ? '-' : moment(node.seenAt),
    node.leaseHeld === null || !node.live ? '-' : node.leaseHeld ? 'held' : 'lost',
    node.journal === null ? '-' : `${node.journal.size} entries`,
  ])
  const columns = ['name', 'state', 'version', 'schema', 'since', 'last seen', 'lease', 'journal head']
  printTable(io, columns, rows, 'There is no node.')
}

export async function remove({ io, args }: Call): Promise<void> {
  const name = firstOf(args)
  await io.client().call('DELETE /nodes/:name', { name }, {})
  printLine(io, `Node ${name} is out of the list; the head of its journal stays known.`)
}
