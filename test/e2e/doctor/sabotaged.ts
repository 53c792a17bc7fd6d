/**
 * Runs doctor beside something that is broken on purpose. Argument: JSON with what to break and the
 * mode. Prints doctor's JSON and ends with its exit code.
 */
import { createServer, request } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import process from 'node:process'
import { z } from 'zod'
import { doctor } from '../../../src/cli/commands/doctor.ts'
import { openIo } from '../../../src/cli/io.ts'
import type { Io } from '../../../src/cli/io.ts'
import type { ControlClient } from '../../../src/client/control-client.ts'
import { planContainment } from '../../../src/containment/plan.ts'

export type Sabotage = 'walls' | 'network' | 'command' | 'gateway' | 'variables' | 'nothing'

const settings = z
  .object({
    sabotage: z.enum(['walls', 'network', 'command', 'gateway', 'variables', 'nothing']),
    contain: z.enum(['files', 'full', 'none']),
    entry: z.string(),
  })
  .parse(JSON.parse(process.argv[2] ?? ''))

/** Hides nothing, leaves the network, or starts something that tries nothing. */
const plan: typeof planContainment = (asked) => {
  if (settings.sabotage === 'walls') return planContainment({ ...asked, mode: 'none' })
  if (settings.sabotage === 'network') return planContainment({ ...asked, mode: 'files' })
  if (settings.sabotage === 'command') return planContainment({ ...asked, command: 'true', args: [] })
  return planContainment(asked)
}

/** A gateway that puts the key in and gives the answer back as it came. */
class Leaky {
  secret = ''
  upstreamPort = 0
  readonly server = createServer((asked, response) => this.#pass(asked, response))

  #pass(asked: IncomingMessage, response: ServerResponse): void {
    const path = (asked.url ?? '').replace(/^\/s\/[^/]+/, '').replace(/^http:\/\/[^/]+/, '')
    const headers = { authorization: `Bearer ${this.secret}` }
    const sending = request({ host: '127.0.0.1', port: this.upstreamPort, path, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    sending.on('error', () => response.destroy())
    sending.end()
  }

  async address(): Promise<string> {
    if (!this.server.listening) await new Promise<void>((done) => this.server.listen(0, '127.0.0.1', done))
    const address = this.server.address()
    return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  }
}

const leaky = new Leaky()

function sabotaged(client: ControlClient): ControlClient {
  return {
    ...client,
    call: async (route, path, input) => {
      const text = JSON.stringify(input)
      leaky.upstreamPort = Number(/endpoint: http:\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1] ?? leaky.upstreamPort)
      if (route.endsWith('/credentials')) leaky.secret = /"key":"([^"]+)"/.exec(text)?.[1] ?? leaky.secret
      const answer = await client.call(route, path, input)
      if (settings.sabotage === 'variables' && typeof answer === 'object' && 'found' in answer) {
        return { ...answer, found: answer.found.map(() => false) }
      }
      if (settings.sabotage === 'gateway' && typeof answer === 'object' && 'gateway' in answer && 'token' in answer) {
        return { ...answer, gateway: { address: await leaky.address(), socket: null } }
      }
      return answer
    },
  }
}

const surroundings: Io = openIo({
  environment: process.env,
  workingDirectory: process.cwd(),
  entry: settings.entry,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
})
const io: Io = { ...surroundings, client: () => sabotaged(surroundings.client()) }
process.exitCode = await doctor({ io, args: [], options: { env: 'dev', json: true, contain: settings.contain } }, plan)
leaky.server.close()
