import { chmodSync, mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { madeUp } from '../e2e/gateway/harness.ts'
import { openHouse, own } from '../harness.ts'
import { attack, inside } from './attack.ts'

/** Names under which machines keep what no helper program needs. */
const strays = [
  'OPENAI_API_KEY',
  'AWS_SECRET_ACCESS_KEY',
  'GITHUB_TOKEN',
  'MY_COMPANY_SECRET',
  'DATABASE_URL',
  'NPM_TOKEN',
]

attack('S10', 'helper programs that a server could start get none of its caller’s variables', inside, async () => {
  const house = openHouse()
  try {
    const value = madeUp()
    // Stand before the real ones in PATH, and write down what they were given.
    const tools = join(house.work, 'tools')
    const seen = join(house.work, 'seen')
    mkdirSync(tools)
    own(tools)
    for (const name of ['unshare', 'sh', 'ip', 'setpriv', 'mount', 'node', 'id', 'uname', 'getconf', 'ps']) {
      const path = join(tools, name)
      writeFileSync(
        path,
        `#!/bin/bash -p\n{ echo "== ${name}"; tr '\\0' '\\n' < /proc/self/environ; } >> ${seen}\nexit 1\n`,
      )
      chmodSync(path, 0o755)
      own(path)
    }
    const variables = {
      PATH: `${tools}:${process.env['PATH'] ?? ''}`,
      ...Object.fromEntries(strays.map((name) => [name, value])),
    }
    const server = await house.up({ variables })
    await house.expectDone(['agent', 'add', 'ada'], { variables })
    // Looks at what the machine allows, and starts the agent with it.
    for (const mode of ['none', 'files'])
      await house.keyward(['run', '--contain', mode, '--', '/bin/true'], { variables })
    await server.stop()
    if (existsSync(seen)) expect(readFileSync(seen, 'utf8')).not.toContain(value)
    // The server itself, which is the tool that `run` starts first, has none either.
    const again = await house.up({ variables })
    expect(readFileSync(`/proc/${again.pid}/environ`, 'latin1')).not.toContain(value)
  } finally {
    await house.close()
  }
})
