import * as fc from 'fast-check'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { expect, test } from 'vitest'
import { writeSessionDirectory } from './session-directory.ts'
import { allowedVariables, childVariables, nodeOptions } from './variables.ts'

const secret = randomUUID()
const request = {
  placeholders: { SOME_API_KEY: 'placeholder' },
  baseUrls: { SOME_BASE_URL: 'http://127.0.0.1:1/s/some' },
  proxyUrl: 'http://session:token@127.0.0.1:1',
  bundlePath: '/s/bundle.pem',
  extraPath: '/s/extra.pem',
  preloadPath: '/s/preload.cjs',
  holdsSecret: (text: string) => text.includes(secret),
}

test('nothing passes that is not on the list, and nothing that holds a known secret', () => {
  const names = fc.oneof(
    fc.constantFrom(...allowedVariables.map((name) => name.replace('*', 'X'))),
    fc.stringMatching(/^[A-Za-z_]{1,20}$/),
  )
  const values = fc.oneof(
    fc.string(),
    fc.string().map((text) => `${text}${secret}x`),
  )
  fc.assert(
    fc.property(fc.dictionary(names, values), (parentEnvironment) => {
      const { variables, secretsRemoved } = childVariables({ ...request, parentEnvironment })
      expect(Object.values(variables).join('\n')).not.toContain(secret)
      expect(secretsRemoved.toSorted()).toEqual(
        Object.keys(parentEnvironment)
          .filter((name) => parentEnvironment[name]?.includes(secret))
          .toSorted(),
      )
      const own = new Set(Object.keys(childVariables({ ...request, parentEnvironment: {} }).variables))
      const foreign = Object.keys(variables).filter((name) => !own.has(name) && !name.startsWith('LC_'))
      expect(foreign.filter((name) => !allowedVariables.includes(name))).toEqual([])
    }),
  )
})

test('the parent can neither widen NO_PROXY nor redirect proxy, trust or debugger', () => {
  const { variables } = childVariables({
    ...request,
    parentEnvironment: {
      NO_PROXY: '*',
      no_proxy: '*',
      HTTPS_PROXY: 'http://evil',
      ALL_PROXY: 'socks5://evil',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_OPTIONS: '--inspect=0.0.0.0:9 --max-old-space-size=512',
      GIT_CONFIG_COUNT: '9',
      LD_PRELOAD: '/x.so',
    },
  })
  expect(variables).toMatchObject({
    NO_PROXY: 'localhost,127.0.0.1,::1',
    no_proxy: 'localhost,127.0.0.1,::1',
    HTTPS_PROXY: request.proxyUrl,
    https_proxy: request.proxyUrl,
    GIT_CONFIG_COUNT: '3',
  })
  expect(variables['NODE_OPTIONS']).toBe('--max-old-space-size=512 --require=/s/preload.cjs')
  for (const name of ['ALL_PROXY', 'NODE_TLS_REJECT_UNAUTHORIZED', 'LD_PRELOAD'])
    expect(variables).not.toHaveProperty(name)
})

test('a login inside a URL does not pass, a caller may allow more names, placeholders win', () => {
  const parentEnvironment = {
    GOPATH: 'https://user:word@host/',
    AGENT_MODE: 'fast',
    REGION_A: 'eu',
    SOME_API_KEY: 'real',
  }
  const { variables } = childVariables({
    ...request,
    parentEnvironment,
    extraAllow: ['AGENT_MODE', 'REGION_*', 'SOME_API_KEY'],
  })
  expect(variables).not.toHaveProperty('GOPATH')
  expect(variables).toMatchObject({ AGENT_MODE: 'fast', REGION_A: 'eu', SOME_API_KEY: 'placeholder' })
})

test.each([
  ['', '--require=/p.cjs'],
  ['--inspect-brk', '--require=/p.cjs'],
  ['--inspect-port 9229 --title=x', '--title=x --require=/p.cjs'],
  ['--require "/with space/a.js" --inspect-wait=1', '--require "/with space/a.js" --require=/p.cjs'],
])('NODE_OPTIONS %j becomes %j', (inherited, expected) => {
  expect(nodeOptions(inherited, '/p.cjs')).toBe(expected)
})

test('the session directory is its owner’s alone, holds certificates only, and goes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-parent-'))
  const [ca = '', parent = ''] = rootCertificates
  writeFileSync(
    join(folder, 'parent.pem'),
    `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n${parent}\n`,
  )
  const session = writeSessionDirectory({
    caPem: ca,
    preloadSource: '// preload',
    parentEnvironment: { NODE_EXTRA_CA_CERTS: join(folder, 'parent.pem'), SSL_CERT_FILE: '/no/such' },
  })
  expect(statSync(session.directory).mode & 0o777).toBe(0o700)
  const extra = readFileSync(session.extraPath, 'utf8')
  expect(extra).toContain(ca.trim())
  expect(extra).toContain(parent.trim())
  expect(extra).not.toContain(secret)
  expect(readFileSync(session.bundlePath, 'utf8').match(/BEGIN CERTIFICATE/g)?.length).toBeGreaterThan(50)
  session.remove()
  expect(() => statSync(session.directory)).toThrow('ENOENT')
  rmSync(folder, { recursive: true })
})
