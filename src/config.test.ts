import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maximumSettingsFileCharacters, readConfig } from './config.ts'
import { KeywardError } from './core/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let made = 0

function homeWith(text: string): { home: string; file: string } {
  const home = mkdtempSync(join(folder, `${(made += 1)}-`))
  const file = join(home, 'keyward.yaml')
  writeFileSync(file, text)
  return { home, file }
}

function refusal(text: string, variables: Record<string, string> = {}): string {
  const { home } = homeWith(text)
  try {
    readConfig({}, { KEYWARD_HOME: home, ...variables })
    return 'none'
  } catch (error) {
    if (error instanceof KeywardError && error.code === 'config_invalid')
      return (error.detail ?? '').replace(`${home}/`, '')
    throw error
  }
}

test('a flag wins over a variable, a variable over the file, the file over what is built in', () => {
  const { home, file } = homeWith('# a comment\ngateway: 127.0.0.1:1\nnode: from-file\nstrictJournal: true\n')
  const variables = { KEYWARD_HOME: home, KEYWARD_GATEWAY: '127.0.0.1:2', KEYWARD_STRICT_JOURNAL: '' }
  const { settings, config } = readConfig({ gateway: '127.0.0.1:3' }, variables)
  const written = Object.entries(settings).filter(([, { origin }]) => origin !== 'default')
  expect(Object.fromEntries(written)).toEqual({
    home: { value: home, origin: 'variable', from: 'KEYWARD_HOME' },
    gateway: { value: { host: '127.0.0.1', port: 3 }, origin: 'flag', from: '--gateway' },
    node: { value: 'from-file', origin: 'file', from: `${file}:3` },
    strictJournal: { value: true, origin: 'file', from: `${file}:4` },
  })
  const { settingsFile: _, rootKeyCredentials, rootKeyNamespace, rootKeyCaFile, rootKeyEndpoint, ...own } = settings
  for (const beside of [rootKeyCredentials, rootKeyNamespace, rootKeyCaFile, rootKeyEndpoint])
    expect(beside).toEqual({ value: null, origin: 'default', from: null })
  expect(config).toEqual(Object.fromEntries(Object.entries(own).map(([name, { value }]) => [name, value])))
  expect(readConfig({}, variables).settings.gateway).toMatchObject({ origin: 'variable', from: 'KEYWARD_GATEWAY' })
  expect(readConfig({}, { KEYWARD_HOME: home }).settings.gateway).toMatchObject({ origin: 'file', from: `${file}:2` })
})

test('a time zone and a wait are read', () => {
  const { home } = homeWith('timeZone: Europe/Berlin\napprovalWait: 90s\n')
  expect(readConfig({}, { KEYWARD_HOME: home, KEYWARD_APPROVAL_WAIT: '10m' }).config).toMatchObject({
    timeZone: 'Europe/Berlin',
    approvalWaitMilliseconds: 600_000,
  })
  expect(readConfig({}, { KEYWARD_HOME: home }).config.approvalWaitMilliseconds).toBe(90_000)
})

test('without anything written everything is built in', () => {
  const { settings } = readConfig({}, {})
  expect(settings.home).toEqual({ value: join(homedir(), '.keyward'), origin: 'default', from: null })
})

test('another file may be named, must be there then, and its paths count from where it lies', () => {
  const { home } = homeWith('node: from-home\n')
  const other = homeWith('node: from-elsewhere\nrootKeyFile: key\n')
  const variables = { KEYWARD_HOME: home }
  expect(readConfig({ config: other.file }, variables).config).toMatchObject({
    node: 'from-elsewhere',
    rootKeyFile: join(other.home, 'key'),
  })
  expect(readConfig({}, { ...variables, KEYWARD_CONFIG: other.file }).config.node).toBe('from-elsewhere')
  expect(() => readConfig({ config: join(folder, 'missing.yaml') }, variables)).toThrow(/missing.yaml cannot be read/)
})

test.each([
  ['an unknown setting', 'node: a\ncolour: red\n', /^keyward.yaml:2: there is no setting colour/],
  ['the home, in which the file lies', 'home: /tmp\n', /^keyward.yaml:1: there is no setting home/],
  ['a setting twice', 'node: a\nnode: b\n', /^keyward.yaml, line 2, column 1: a name stands twice/],
  ['an alias', 'node: &a x\ngateway: *a\n', /^keyward.yaml, line 1, column 10: anchors/],
  ['a number', 'node: 7\n', /^keyward.yaml:1: node must be a text/],
  ['no answer to a question', 'strictJournal: soon\n', /^strictJournal must be true or false/],
  ['no time zone', 'timeZone: Mars/Olympus\n', /^timeZone must name a time zone/],
  ['a wait without a unit', 'approvalWait: "90"\n', /^approvalWait must be written as 90s or 5m/],
  ['a wait beyond the life of an approval', 'approvalWait: 11m\n', /^approvalWait must be written/],
  ['a list', '- node\n', /^keyward.yaml is one list of names and values/],
  ['two documents', 'node: a\n---\nnode: b\n', /^keyward.yaml is one list of names and values/],
  ['an open address', 'gateway: 0.0.0.0:7071\n', /loopback address only/],
  ['a root key in the home', 'rootKeyFile: key\n', /must lie outside the home/],
  ['too much', '#'.repeat(maximumSettingsFileCharacters + 1), /^keyward.yaml is larger than/],
])('a settings file with %s is refused', (_what, text, expected) => {
  expect(refusal(text)).toMatch(expected)
})

test('the largest settings file is read', () => {
  expect(refusal('#'.repeat(maximumSettingsFileCharacters))).toBe('none')
})

test('the control API goes over a network with TLS alone', () => {
  const read = (variables: Record<string, string>) =>
    readConfig({}, { KEYWARD_HOME: '/nowhere/home', KEYWARD_LISTEN: '0.0.0.0:7070', ...variables }).config
  const files = { KEYWARD_TLS_CERTIFICATE_FILE: '/a.pem', KEYWARD_TLS_KEY_FILE: '/a.key' }
  expect(read(files).listen).toEqual({ host: '0.0.0.0', port: 7070 })
  for (const wrong of [
    {},
    { KEYWARD_TLS_CERTIFICATE_FILE: '/a.pem' },
    { KEYWARD_TLS_KEY_FILE: '/a.key' },
    { KEYWARD_LISTEN: '127.0.0.1:7070', KEYWARD_TLS_CLIENT_CA_FILE: '/ca.pem' },
    { ...files, KEYWARD_LISTEN_NAME: 'Not A Name' },
  ])
    expect(() => read(wrong)).toThrow(expect.objectContaining({ code: 'config_invalid' }))
})

test('the database may be named in a file, and in one place alone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-config-'))
  const file = join(folder, 'url')
  writeFileSync(file, 'postgres://keyward:x@127.0.0.1:5432/keyward\n')
  const read = (variables: Record<string, string>) =>
    readConfig({}, { KEYWARD_HOME: '/nowhere/home', ...variables }).config.database
  const inFile = read({ KEYWARD_DATABASE_URL_FILE: file })
  expect(inFile).toEqual(read({ KEYWARD_DATABASE_URL: 'postgres://keyward:x@127.0.0.1:5432/keyward' }))
  for (const wrong of [
    { KEYWARD_DATABASE_URL_FILE: file, KEYWARD_DATABASE_URL: 'postgres://keyward:x@127.0.0.1/keyward' },
    { KEYWARD_DATABASE_URL_FILE: join(folder, 'missing') },
  ])
    expect(() => read(wrong)).toThrow(expect.objectContaining({ code: 'config_invalid' }))
  rmSync(folder, { recursive: true })
})
