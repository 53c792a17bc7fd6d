import process from 'node:process'
import { setImmediate as turn } from 'node:timers/promises'
import { writeHeapSnapshot } from 'node:v8'
import { openApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'

/** Serves the home `argv[2]`, prints the gateway's port, and at SIGTERM writes its heap to `argv[3]` before it ends. */
const [, , home, path] = process.argv
const { config } = readConfig({ home, gateway: '127.0.0.1:0' }, {})
const app = await openApp({ config, ephemeral: false, askPassphrase: null, onError: String })
process.once('SIGTERM', () => void end())
process.stdout.write(`${app.gatewayAddress.split(':').at(-1)}\n`)

/** An exchange holds its key until its outcome is written, which is shortly after its answer. */
async function end(): Promise<void> {
  for (let turns = 0; turns < 10; turns += 1) {
    await app.journal.checkpoint()
    await turn()
  }
  writeHeapSnapshot(path)
  await app.close()
}
