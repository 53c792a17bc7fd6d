import type { Call, JsonOption } from '../io.ts'
import { moment, printJson, printLine, printPairs, printTable } from '../print.ts'

export async function status({ io, options }: Call<JsonOption>): Promise<void> {
  const view = await io.client().call('GET /status', {}, {})
  if (options.json === true) return printJson(io, view)
  printPairs(io, [
    ['version', view.version],
    ['home', view.home],
    ['store', view.store],
    ['gateway', `http://${view.gateway}`],
    ...(view.monitor === null ? [] : [['monitor', `http://${view.monitor}`] as const]),
    [
      'process',
      `${view.processId}, since ${moment(view.startedAt)}${view.ephemeral ? '; ends with the last session' : ''}`,
    ],
    ['journal', `${view.journalEntries} entries`],
    [
      'node',
      `${view.node}${view.liveNodes === null || view.liveNodes < 2 ? '' : `, of ${view.liveNodes}: keyward node list`}`,
    ],
    ...(view.journalShipping === null || view.journalShipping.behind === 0
      ? []
      : [
          [
            'not shipped',
            `${view.journalShipping.behind} segments: ${view.journalShipping.error ?? 'on their way'}`,
          ] as const,
        ]),
  ])
  printLine(io)
  const rows = view.environments.map((one) => [
    one.name,
    one.egress,
    String(one.credentials),
    String(one.agents),
    String(one.sessions),
  ])
  printTable(io, ['environment', 'egress', 'credentials', 'agents', 'sessions'], rows, 'There is no environment.')
}

export async function down({ io }: Call): Promise<void> {
  await io.client().call('POST /shutdown', {}, {})
  printLine(io, 'The server stops.')
}
