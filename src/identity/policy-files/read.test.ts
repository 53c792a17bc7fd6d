import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { detectors } from '../../detectors/index.ts'
import {
  maximumDocumentCharacters,
  maximumPolicyCharacters,
  maximumPolicyDocuments,
  maximumPolicyFiles,
} from './documents.ts'
import { known } from './fixture.ts'
import { readPolicyFiles } from './read.ts'

async function told(text: string): Promise<string[]> {
  const { problems } = await readPolicyFiles([{ path: 'a.yaml', text }], known, pause)
  return problems.map(({ code, message, place }) => `${code} ${place?.line}:${place?.column} ${message}`)
}

const pause = (): Promise<void> => Promise.resolve()
const agent = 'kind: agent\nname: one\n'
const grant = 'kind: grant\nagent: one\ncredential: key\nallow: ["*"]\n'
const credential = 'kind: credential\nname: key\nservice: store\n'

test.each([
  [
    'an unknown member',
    `${agent}colour: red\n`,
    /^file_invalid 3:1 colour: a document of kind agent has no such member/,
  ],
  ['a member that grants do not know yet', `${grant}never: destructive\n`, /^file_invalid 5:1 never/],
  ['an unknown limit', `${grant}limits: { budget: 5 }\n`, /^file_invalid 5:11 limits.budget/],
  ['a name twice', `${agent}name: two\n`, /^file_invalid 3:1 a name stands twice/],
  ['an anchor', 'kind: agent\nname: &a one\n', /^file_invalid 2:10 anchors are not allowed/],
  ['an alias', 'kind: agent\nname: *a\n', /^file_invalid 2:7 .*alias/],
  ['a merge key', `${agent}<<: {}\n`, /^file_invalid 3:1 merge keys/],
  ['a tag of its own', 'kind: agent\nname: !x one\n', /^file_invalid 2:7 unresolved tag/],
  ['no kind', 'name: one\n', /^file_invalid 1:1 A document begins with its kind/],
  ['an unknown kind', 'kind: budget\n', /^file_invalid 1:1 A document begins with its kind/],
  ['a list', '- kind: agent\n', /^file_invalid 1:1 A document begins with its kind/],
  ['a bare text', 'agent\n', /^file_invalid 1:1 A document begins with its kind/],
  ['a name that is none', 'kind: agent\nname: ../x\n', /^file_invalid 2:1 name: a name is/],
  ['a number for a name', 'kind: agent\nname: 7\n', /^file_invalid 2:1 name: Invalid input: expected string/],
  ['an empty allow', grant.replace('["*"]', '[]'), /^file_invalid 4:1 allow: an empty allow/],
  ['a rate that is none', `${grant}limits: { rate: fast }\n`, /^file_invalid 5:11 limits.rate: a rate/],
  ['no end of days', `${grant}expires: 30\n`, /^file_invalid 5:1 expires/],
  ['a day that is none', `${grant}expires: 2030-02-30T00:00:00Z\n`, /^file_invalid 5:1 expires/],
  ['a state that only a person gives', `${agent}state: active\n`, /^file_invalid 3:1 state/],
  ['a service without hosts', 'kind: service\nid: own\n', /^file_invalid 1:1 hosts and inject are needed/],
  [
    'a host that is none',
    'kind: service\nid: own\nhosts: ["*"]\ninject: { kind: bearer }\n',
    /^file_invalid 3:9 hosts.0/,
  ],
  [
    'a trust file that was not sent',
    'kind: service\nid: own\nhosts: [a.test]\ninject: { kind: bearer }\ntrust: a.pem\n',
    /^file_invalid 5:1 trust/,
  ],
  [
    'a value where its source belongs',
    `${credential}from: { key: correct-horse-battery }\n`,
    /^policy_secret 4:9 from.key/,
  ],
  ['a value for all fields', `${credential}from: correct-horse-battery\n`, /^policy_secret 4:1 from/],
  ['a member for the value', `${credential}key: correct-horse-battery\n`, /^file_invalid 4:1 key/],
  ['one thing twice', `${agent}---\n${agent}`, /^policy_repeated 4:1 The agent dev\/one is described at a.yaml:1:1/],
  ['one grant twice, written otherwise', `${grant}---\n${grant}deny: []\n`, /^policy_repeated 6:1/],
])('%s is refused with its place', async (_what, text, expected) => {
  const problems = await told(text)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(expected)
  expect(problems[0]).not.toContain('correct-horse')
})

test('everything that is wrong is told at once, across documents and files', async () => {
  const { problems } = await readPolicyFiles(
    [
      { path: 'a.yaml', text: 'kind: agent\nname: A\ncolour: red\n---\nkind: grant\n' },
      { path: 'b.yaml', text: 'kind: agent\nkind: agent\n' },
    ],
    known,
    pause,
  )
  expect(problems.map(({ place }) => `${place?.file}:${place?.line}`)).toEqual([
    'a.yaml:2',
    'a.yaml:3',
    'a.yaml:5',
    'a.yaml:5',
    'a.yaml:5',
    'b.yaml:2',
  ])
})

test('a key of any known shape is refused wherever it stands, and is not repeated', async () => {
  const random = (length: number, alphabet: string): string =>
    Array.from(randomBytes(length), (byte) => alphabet[byte % alphabet.length]).join('')
  let tried = 0
  for (const detector of detectors) {
    if (detector.id === 'generic') continue
    for (const key of detector.examples(random)) {
      const places = [
        `kind: agent\nname: one\nowner: ${JSON.stringify(key)}\n`,
        `kind: agent\nname: one\n${JSON.stringify(key)}: x\n`,
        `${credential}from: { key: ${JSON.stringify(key)} }\n`,
      ]
      for (const text of places) {
        const problems = await told(text)
        expect(problems.join(), detector.id).toMatch(/^policy_secret \d+:\d+ It has the shape of a key/)
        expect(problems.join()).not.toContain(key)
        tried += 1
      }
    }
  }
  expect(tried).toBeGreaterThan(30)
})

test('a service file and a service document are the same YAML, certificates may stand in it', async () => {
  const text = 'kind: service\nid: own\nhosts: [own.example.test]\ninject: { kind: bearer }\n'
  const { wanted, problems } = await readPolicyFiles([{ path: 'a.yaml', text }], known, pause)
  expect(problems).toEqual([])
  expect(wanted[0]).toMatchObject({ kind: 'service', key: 'own', service: { checked: 'documented' } })
})

test('files, documents and characters are bounded', async () => {
  const file = { path: 'a.yaml', text: '' }
  const codes = async (files: readonly (typeof file)[]): Promise<string[]> =>
    (await readPolicyFiles(files, known, pause)).problems.map(({ code }) => code)
  expect(await codes(Array.from({ length: maximumPolicyFiles }, () => file))).toEqual([])
  expect(await codes(Array.from({ length: maximumPolicyFiles + 1 }, () => file))).toEqual(['policy_too_large'])
  const documents = (count: number): string =>
    Array.from({ length: count }, (_, index) => `kind: agent\nname: a${index}\n`).join('---\n')
  expect(await codes([{ ...file, text: documents(maximumPolicyDocuments) }])).toEqual([])
  expect(await codes([{ ...file, text: documents(maximumPolicyDocuments + 1) }])).toEqual(['policy_too_large'])
  const comment = `${'#'.repeat(maximumDocumentCharacters - 5)}\n---\n`
  expect(await codes([{ ...file, text: comment.slice(0, -4) }])).toEqual([])
  expect(await codes([{ ...file, text: `###########${comment}` }])).toEqual(['policy_too_large'])
  const many = comment.repeat(maximumPolicyCharacters / comment.length)
  const rest = '#'.repeat(maximumPolicyCharacters - many.length)
  expect(await codes([{ ...file, text: many + rest }])).toEqual([])
  expect(await codes([{ ...file, text: `${many}${rest}#` }])).toEqual(['policy_too_large'])
})
