import { spawn, type ChildProcess } from 'node:child_process'
import { startTicksOf } from '../../src/identity/process.ts'
import type { SessionBinding } from '../../src/core/records.ts'

/** A process of its own that carries connections: to the gateway it is the one who calls. */
export interface RelayProcess {
  readonly process: ChildProcess
  readonly processId: number
  /** Where it listens. */
  readonly port: number
}

const carry = `
const net = require('net')
const server = net.createServer({ allowHalfOpen: true }, (inner) => {
  const outer = net.connect({ port: Number(process.argv[1]), host: '127.0.0.1', allowHalfOpen: true })
  inner.pipe(outer).pipe(inner)
  for (const [one, other] of [[inner, outer], [outer, inner]]) one.on('error', () => other.destroy()).on('close', () => other.destroy())
})
server.listen(0, '127.0.0.1', () => process.stdout.write(process.pid + ' ' + server.address().port + '\\n'))
`

/** `under` stands before the relay's command: a shell script that gets it as "$@". */
export async function startRelay(gatewayPort: number, under?: string): Promise<RelayProcess> {
  const command = [process.execPath, '-e', carry, String(gatewayPort)]
  const line = under === undefined ? command : ['sh', '-c', under, 'sh', ...command]
  const [program = '', ...args] = line
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  const said = await new Promise<string>((done, fail) => {
    child.stdout?.once('data', (chunk: Buffer) => done(chunk.toString()))
    child.once('exit', () => fail(new Error('The relay did not start.')))
  })
  const [processId = 0, port = 0] = said.trim().split(' ').map(Number)
  return { process: child, processId, port }
}

/** The relay and whatever it was started under. */
export function endRelay({ process: child, processId }: RelayProcess): void {
  for (const id of [-(child.pid ?? 0), processId]) {
    try {
      if (id !== 0) process.kill(id, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
}

export function boundTo(processId: number): SessionBinding {
  return { kind: 'process', processId, startTicks: startTicksOf(processId) ?? '' }
}
