import { expect } from 'vitest'
import { codeOf, type Ask } from '../e2e/gateway/requests.ts'
import { always } from '../e2e/gateway/upstream.ts'
import { BODY_FIRST_MAXIMUM_BYTES } from '../../src/gateway/whole-body.ts'
import { attack, fronts, type Front } from './attack.ts'
import { outcomeOf, textFronts } from './asking.ts'
import { usePlaces, type Placed } from './place.ts'
import { allOf, expectNoPiece } from './scene.ts'

/** P9: a placeholder in a body, in whatever writing, is undone, and the credential written in its place. */

const places = usePlaces(always(200, {}, 'ok'))
const JSON_TYPE = ['Content-Type', 'application/json'] as const
const FORM_TYPE = ['Content-Type', 'application/x-www-form-urlencoded'] as const

const inJson = () => places.place({ inject: [{ kind: 'body', pointer: '/auth/key' }] })
const inForm = () => places.place({ inject: [{ kind: 'body', form: 'token' }] })

const hex = (letter: string): string => letter.charCodeAt(0).toString(16).padStart(2, '0')
const jsonEscaped = (text: string): string => [...text].map((letter) => `\\u00${hex(letter)}`).join('')
const formEscaped = (text: string): string => [...text].map((letter) => `%${hex(letter)}`).join('')
const half = (text: string, escape: (letter: string) => string): string =>
  [...text].map((letter, at) => (at % 2 === 0 ? letter : escape(letter))).join('')

async function post(front: Front, where: Placed, body: string | Uint8Array, more: Partial<Ask> = {}) {
  return places.ask(front, where, { method: 'POST', target: '/v1/login', headers: [JSON_TYPE], body, ...more })
}

const sentBody = (): string => places.upstream.got.at(-1)?.body.toString() ?? ''

attack('P9', 'JSON: every writing of the placeholder is undone, and only its place changes', fronts, async (front) => {
  const where = await inJson()
  const placeholder = where.login.placeholder(where.held)
  const secret = JSON.stringify(where.held.secret()).slice(1, -1)
  const around = ['{ "n" : 1.50e1,"s":"\\u0041\\/", "auth": {"key" :\t"', '" , "x":null}, "é": "\\ud83d\\ude00"}\r\n']
  for (const written of [placeholder, jsonEscaped(placeholder), half(placeholder, jsonEscaped)]) {
    const answer = await post(front, where, around.join(written))
    expect(outcomeOf(answer)).toBe('answered 200')
    expect(sentBody()).toBe(around.join(secret))
    expect(places.upstream.got.at(-1)?.headers['content-length']).toBe(String(Buffer.byteLength(sentBody())))
  }
})

attack(
  'P9',
  'a form: every writing of the placeholder is undone, and only its place changes',
  fronts,
  async (front) => {
    const where = await inForm()
    const placeholder = where.login.placeholder(where.held)
    for (const written of [placeholder, formEscaped(placeholder), half(placeholder, formEscaped)]) {
      const answer = await post(front, where, `a=%c3%a9+b&tok%65n=${written}&&c`, { headers: [FORM_TYPE] })
      expect(outcomeOf(answer)).toBe('answered 200')
      expect(sentBody()).toBe(`a=%c3%a9+b&tok%65n=${encodeURIComponent(where.held.secret())}&&c`)
    }
  },
)

attack(
  'P9',
  'an echo of the body is scrubbed, in every writing, and the journal holds nothing',
  fronts,
  async (front) => {
    const where = await inJson()
    places.answerWith((_request, response, got) => {
      const text = got.body.toString()
      const secret = String(JSON.parse(text).auth.key)
      const writings = [text, JSON.stringify(text), encodeURIComponent(text), jsonEscaped(secret), formEscaped(secret)]
      response.end([...writings, Buffer.from(text).toString('base64')].join('\n'))
    })
    const answer = await post(front, where, `{"auth":{"key":"${where.login.placeholder(where.held)}"}}`)
    places.answerWith(always(200, {}, 'ok'))
    expect(answer.status).toBe(200)
    expectNoPiece(allOf(answer), where.held.secret())
    expectNoPiece(decodeURIComponent(allOf(answer).replaceAll(/%(?![0-9a-f]{2})/gi, '')), where.held.secret())
    await places.stage.journaled({ kind: 'outcome', text: where.agent })
    const entries = JSON.stringify(await places.stage.entries({ text: where.agent }))
    expectNoPiece(entries, where.held.secret())
    expect(entries).not.toContain(where.login.placeholder(where.held))
    expect(entries).not.toContain('misplaced')
  },
)

attack('P9', 'what a body holds in two readings is refused, and nothing is sent', fronts, async (front) => {
  const where = await inJson()
  const form = await inForm()
  const before = places.upstream.received().length
  const key = where.login.placeholder(where.held)
  const token = form.login.placeholder(form.held)
  const cut = Buffer.concat([Buffer.from(`{"auth":{"key":"${key}","x":"`), Buffer.from([0xc3]), Buffer.from('"}}')])
  const whole = `{"auth":{"key":"${key}"}}`
  const cases: readonly (readonly [string, Placed, string | Uint8Array, Ask['headers'], string])[] = [
    ['the member twice', where, `{"auth":{"key":"${key}","key":"own"}}`, [JSON_TYPE], 'placeholder_ambiguous'],
    ['in two writings', where, `{"auth":{"key":"${key}","k\\u0065y":"own"}}`, [JSON_TYPE], 'placeholder_ambiguous'],
    ['in two letter cases', where, `{"auth":{"key":"${key}","Key":"own"}}`, [JSON_TYPE], 'placeholder_ambiguous'],
    ['a parent twice', where, `{"auth":{"key":"${key}"},"auth":{"key":"own"}}`, [JSON_TYPE], 'placeholder_ambiguous'],
    ['no JSON', where, whole.slice(0, -1), [JSON_TYPE], 'body_not_injectable'],
    ['a second text behind it', where, whole + whole, [JSON_TYPE], 'body_not_injectable'],
    ['a byte order mark', where, `\ufeff${whole}`, [JSON_TYPE], 'body_not_injectable'],
    ['bytes that are no UTF-8', where, cut, [JSON_TYPE], 'body_not_injectable'],
    ['another charset', where, whole, [['Content-Type', 'application/json; charset=utf-7']], 'body_not_injectable'],
    ['a content coding', where, whole, [JSON_TYPE, ['Content-Encoding', 'gzip']], 'body_not_injectable'],
    ['a number', where, '{"auth":{"key":12}}', [JSON_TYPE], 'placeholder_required'],
    ['a key of its own', where, '{"auth":{"key":"own-key-of-the-agent"}}', [JSON_TYPE], 'placeholder_required'],
    ['a damaged placeholder', where, whole.replace(key, `${key.slice(0, -1)}`), [JSON_TYPE], 'token_invalid'],
    ['escaped twice', where, whole.replace(key, jsonEscaped(key).replaceAll('\\', '\\\\')), [JSON_TYPE], 'refused'],
    ['the field twice', form, `token=${token}&token=own`, [FORM_TYPE], 'placeholder_ambiguous'],
    ['as a list', form, `token=${token}&token[]=own`, [FORM_TYPE], 'placeholder_ambiguous'],
    ['behind a semicolon', form, `a=1;token=own&token=${token}`, [FORM_TYPE], 'placeholder_ambiguous'],
    ['an escape that is none', form, `token=${token}&%zz=1`, [FORM_TYPE], 'body_not_injectable'],
  ]
  for (const [what, placed, body, headers, code] of cases) {
    const answer = await post(front, placed, body, { headers: headers ?? [] })
    const outcome = outcomeOf(answer)
    if (code === 'refused') expect(['token_invalid', 'placeholder_required'], what).toContain(outcome)
    else expect(outcome, what).toBe(code)
    expect(codeOf(answer), what).toBe(outcome)
  }
  expect(places.upstream.received().length).toBe(before)
  const entry = await places.stage.journaled({ kind: 'refusal', text: 'placeholder_required' })
  expect(JSON.stringify(entry)).not.toContain('own-key-of-the-agent')
})

attack(
  'P9',
  'a body of another form proves nothing: no session by base URL, no place by proxy',
  fronts,
  async (front) => {
    const where = await inJson()
    const form = await inForm()
    const key = where.login.placeholder(where.held)
    const token = form.login.placeholder(form.held)
    const before = places.upstream.received().length
    const multipart = `--x\r\ncontent-disposition: form-data; name="token"\r\n\r\n${token}\r\n--x--\r\n`
    const cases: readonly (readonly [Placed, string, Ask['headers']])[] = [
      [form, multipart, [['Content-Type', 'multipart/form-data; boundary=x']]],
      [form, `{"token":"${token}"}`, [JSON_TYPE]],
      [where, `{"auth":{"key":"${key}"}}`, [['Content-Type', 'text/plain']]],
      [where, `{"auth":{"key":"${key}"}}`, []],
      [where, `auth[key]=${key}`, [FORM_TYPE]],
      [where, '{"auth":{}}', [JSON_TYPE]],
      [where, `{"auth":"${key}"}`, [JSON_TYPE]],
      [where, `[{"auth":{"key":"${key}"}}]`, [JSON_TYPE]],
    ]
    for (const [placed, body, headers] of cases) {
      const outcome = outcomeOf(await post(front, placed, body, { headers: headers ?? [] }))
      expect(outcome, body).toBe(front.door === 'base-url' ? 'token_missing' : 'body_not_injectable')
    }
    expect(places.upstream.received().length).toBe(before)
  },
)

attack('P9', 'one in the head and one in the body are refused together', fronts, async (front) => {
  const where = await places.place({ inject: [{ kind: 'bearer' }, { kind: 'body', pointer: '/key' }] })
  const key = where.login.placeholder(where.held)
  const before = places.upstream.received().length
  const authorization = ['Authorization', `Bearer ${key}`] as const
  for (const inBody of [key, 'own']) {
    const answer = await post(front, where, `{"key":"${inBody}"}`, { headers: [JSON_TYPE, authorization] })
    expect(outcomeOf(answer)).toBe('placeholder_ambiguous')
  }
  const coded = await post(front, where, 'x', {
    headers: [['Content-Type', 'image/png'], ['Content-Encoding', 'gzip'], authorization],
  })
  expect(outcomeOf(coded)).toBe('body_not_injectable')
  expect(places.upstream.received().length).toBe(before)
  // Alone, either is fine, and a body that cannot have the place streams as it does elsewhere.
  expect(outcomeOf(await post(front, where, '{}', { headers: [JSON_TYPE, authorization] }))).toBe('answered 200')
  expect(sentBody()).toBe('{}')
  expect(outcomeOf(await post(front, where, `{"key":"${key}"}`))).toBe('answered 200')
  expect(sentBody()).toBe(JSON.stringify({ key: where.held.secret() }))
  const large = 'x'.repeat(BODY_FIRST_MAXIMUM_BYTES + 1)
  const streamed = await post(front, where, large, { headers: [['Content-Type', 'text/plain'], authorization] })
  expect(outcomeOf(streamed)).toBe('answered 200')
  expect(sentBody().length).toBe(large.length)
})

attack('P9', 'an empty place is filled for a session that is proven, and for nobody else', fronts, async (front) => {
  const where = await inJson()
  const outcome = outcomeOf(await post(front, where, '{"auth":{"key":""}}'))
  expect(outcome).toBe(front.door === 'base-url' ? 'token_missing' : 'answered 200')
  if (outcome === 'answered 200') expect(sentBody()).toBe(JSON.stringify({ auth: { key: where.held.secret() } }))
})

attack('P9', 'the placeholder of another session, credential or field opens nothing', fronts, async (front) => {
  const [mine, other] = [await inJson(), await inJson()]
  const again = await places.stage.login(mine.agent)
  const before = places.upstream.received().length
  const withKey = (key: string): string => `{"auth":{"key":"${key}"}}`
  const foreign = await post(front, mine, withKey(other.login.placeholder(other.held)))
  expect(outcomeOf(foreign)).toBe(front.door === 'base-url' ? 'placeholder_elsewhere' : 'placeholder_foreign')
  if (front.door !== 'base-url') {
    const older = await post(front, { ...mine, login: again }, withKey(mine.login.placeholder(mine.held)))
    expect(outcomeOf(older)).toBe('placeholder_foreign')
  }
  expect(places.upstream.received().length).toBe(before)
})

attack('P9', 'a body over the bound is refused, announced or not', textFronts, async (front) => {
  const where = await inJson()
  const before = places.upstream.received().length
  const key = where.login.placeholder(where.held)
  const chunked = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`
  const headers = [JSON_TYPE, ['Transfer-Encoding', 'chunked']] as const
  const large = JSON.stringify({ x: 'x'.repeat(BODY_FIRST_MAXIMUM_BYTES), auth: { key } })
  expect(outcomeOf(await post(front, where, large))).toBe('request_too_large')
  expect(outcomeOf(await post(front, where, chunked(large), { headers }))).toBe('request_too_large')
  expect(places.upstream.received().length).toBe(before)
  const small = JSON.stringify({ x: 'x'.repeat(BODY_FIRST_MAXIMUM_BYTES / 2), auth: { key } })
  expect(outcomeOf(await post(front, where, chunked(small), { headers }))).toBe('answered 200')
  expect(sentBody()).toBe(small.replace(key, where.held.secret()))
})
