import process from 'node:process'
import { openApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'

/** Serves the home `argv[2]` with a clock that is `argv[3]` milliseconds ahead; prints the gateway's port; ends with SIGTERM. */
const [, , home, aheadMilliseconds] = process.argv
const { config } = readConfig({ home, gateway: '127.0.0.1:0' }, {})
const app = await openApp({
  config,
  ephemeral: false,
  askPassphrase: null,
  onError: String,
  now: () => Date.now() + Number(aheadMilliseconds),
})
process.once('SIGTERM', () => void app.close())
process.stdout.write(`${app.gatewayAddress.split(':').at(-1)}\n`)
