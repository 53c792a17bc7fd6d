import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { crawl } from './crawl.ts'
import { startRelay } from './relay.ts'

/**
 * What `keyward run` starts in the place of a client: writes down the variables that it was given,
 * starts the real client with them (in a recorded run with the relay in between), and then everything
 * that can be read from here. Arguments: a directory for what is written down, the directory to
 * search (without what was written down), `direct` or `recorded`, the program, its arguments.
 */
const [out = '', base = '', way = '', program = '', ...args] = process.argv.slice(2)
mkdirSync(out, { recursive: true })
writeFileSync(join(out, 'variables.json'), JSON.stringify(process.env))
const variables = way === 'recorded' ? await recorded() : process.env
const child = spawn(program, args, { stdio: 'inherit', env: variables })
child.on('error', (error) => {
  console.error(String(error))
  process.exit(127)
})
child.on('exit', (code, signal) => {
  const named = Object.values(process.env).filter((value) => value !== undefined && existsSync(value))
  crawl(
    [base, ...named.flatMap((value) => (value?.startsWith('/tmp/') === true ? [value] : []))],
    dirname(out),
    join(out, 'readable'),
  )
  process.exit(code ?? (signal === null ? 1 : 128))
})

async function recorded(): Promise<NodeJS.ProcessEnv> {
  const proxy = new URL(process.env['HTTPS_PROXY'] ?? '')
  const trust = process.env['SSL_CERT_FILE'] ?? ''
  const relay = await startRelay({ host: proxy.hostname, port: Number(proxy.port) }, trust, out)
  const exchanged = new Map<string, string>()
  const withRelay = (path: string): string => {
    const known = exchanged.get(path)
    if (known !== undefined) return known
    const place = join(out, `trust.${exchanged.size}.pem`)
    appendFileSync(place, `${readFileSync(path, 'utf8')}\n${relay.certificate}`)
    exchanged.set(path, place)
    return place
  }
  return Object.fromEntries(
    Object.entries(process.env).map(([name, value = '']) => {
      if (value.endsWith('.pem') && existsSync(value)) return [name, withRelay(value)]
      return [name, value.replaceAll(`${proxy.hostname}:${proxy.port}`, `${proxy.hostname}:${relay.port}`)]
    }),
  )
}
