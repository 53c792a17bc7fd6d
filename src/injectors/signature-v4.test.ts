import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { signed } from '../../test/fakes/signer.ts'
import type { HeaderPair } from '../core/request.ts'
import { canonicalRequest, sha256, signatureOf } from './signature-v4.ts'

const secret = randomBytes(30).toString('base64')
const accessKeyId = randomBytes(12).toString('hex')
const at = new Date('2026-11-27T10:20:30Z')

const text = fc.string({ unit: 'grapheme', maxLength: 12 })
const segment = text.filter(
  (one) => one !== '' && one !== '.' && one !== '..' && one !== '__proto__' && one.isWellFormed(),
)
/** Header values as programs send them: no line breaks, whatever else. */
const value = fc.string({ unit: fc.constantFrom(...'abzAZ09 \t,;="/+é\u00e0\u00a0'), minLength: 1, maxLength: 20 })

test.each(['s3', 'sts', 'dynamodb', 's3tables'])(
  'what is signed for %s is what the vendor’s signer signs',
  { timeout: 30_000 },
  async (service) => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('GET', 'PUT', 'POST'),
        fc.array(segment, { maxLength: 4 }),
        fc.boolean(),
        fc.uniqueArray(
          fc.tuple(
            segment,
            text.filter((one) => one.isWellFormed()),
          ),
          {
            maxLength: 5,
            selector: ([name]) => name,
          },
        ),
        fc.uniqueArray(fc.tuple(fc.constantFrom('x-amz-meta-a', 'x-amz-target', 'content-type', 'range'), value), {
          selector: ([name]) => name,
        }),
        fc.string(),
        async (method, segments, trailing, query, others, body) => {
          const path = `/${segments.map(encode).join('/')}${trailing && segments.length > 0 ? '/' : ''}`
          const parameters = query.map(([name, text]) => `${encode(name)}=${encode(text)}`)
          const target = parameters.length === 0 ? path : `${path}?${parameters.join('&')}`
          const sent = await signed(
            { method, host: 'a.example.com', target, headers: Object.fromEntries(others), body },
            { accessKeyId, secretAccessKey: secret },
            { service, region: 'eu-central-1', at },
          )
          const written = sent['authorization'] ?? ''
          const names = /SignedHeaders=([^,]*)/.exec(written)?.[1]?.split(';') ?? []
          // As bytes on the wire, one byte a character.
          const headers = Object.entries(sent).map(([name, text]): HeaderPair => [
            name,
            Buffer.from(text, 'utf8').toString('latin1'),
          ])
          const scope = { date: '20261127', region: 'eu-central-1', service }
          const payload = sha256(Buffer.from(body, 'utf8'))
          const signature = signatureOf({ method, target, headers, payload }, names, scope, '20261127T102030Z', secret)
          expect(written).toContain(`Signature=${signature.toString('hex')}`)
        },
      ),
      { numRuns: 200 },
    )
  },
)

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Of the user guide: "Create a signed AWS API request", and the test suite that it names. */
test('a canonical request is written as the vendor publishes it', () => {
  const request = {
    method: 'GET',
    target: '/?Action=ListUsers&Version=2010-05-08',
    headers: [
      ['content-type', 'application/x-www-form-urlencoded; charset=utf-8'],
      ['host', 'iam.amazonaws.com'],
      ['x-amz-date', '20150830T123600Z'],
    ] as const,
    payload: sha256(''),
  }
  const names = ['content-type', 'host', 'x-amz-date']
  expect(sha256(canonicalRequest(request, names, 'iam'))).toBe(
    'f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59',
  )
  // The example key of that page, in pieces: it opens nothing, and looks like one that does.
  const example = ['wJalrXUtnFEMI', 'K7MDENG+bPxRfiCYEXAMPLEKEY'].join('/')
  const scope = { date: '20150830', region: 'us-east-1', service: 'iam' }
  expect(signatureOf(request, names, scope, '20150830T123600Z', example).toString('hex')).toBe(
    '5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
  )
})

test.each([
  ['/', '/', '/'],
  ['/a%20b/%c3%a9', '/a%20b/%C3%A9', '/a%2520b/%25c3%25a9'],
  ['/a%2Fb', '/a%2Fb', '/a%252Fb'],
  ['/a+b~(c)', '/a%2Bb~%28c%29', '/a%2Bb~%28c%29'],
])('the path %s is written once for the object store, twice elsewhere', (target, once, twice) => {
  const lineOf = (service: string) =>
    canonicalRequest({ method: 'GET', target, headers: [], payload: '' }, [], service).split('\n')[1]
  expect(lineOf('s3')).toBe(once)
  expect(lineOf('sqs')).toBe(twice)
})

test.each([
  ['?b=2&a=1', 'a=1&b=2'],
  ['?a=2&a=1&A=3', 'A=3&a=1&a=2'],
  ['?a-b=1&a=2', 'a=2&a-b=1'],
  ['?acl', 'acl='],
  ['?a=b=c', 'a=b%3Dc'],
  ['?a=%2f+%7e', 'a=%2F%2B~'],
  ['?&&a', 'a='],
  ['', ''],
])('the query %s is written %s', (query, written) => {
  const request = { method: 'GET', target: `/${query}`, headers: [], payload: '' }
  expect(canonicalRequest(request, [], 'sqs').split('\n')[2]).toBe(written)
})
