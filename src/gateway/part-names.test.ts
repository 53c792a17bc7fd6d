import fc from 'fast-check'
import { expect, test } from 'vitest'
import { boundaryOf, PART_HEADERS_MAXIMUM_BYTES, PartNames } from './part-names.ts'

const disposition = (name: string): string => `Content-Disposition: form-data; name=${name}`

function form(headers: string, value = 'DELETE'): string {
  return `--b\r\n${disposition('"title"')}\r\n\r\nx\r\n--b\r\n${headers}\r\n\r\n${value}\r\n--b--\r\n`
}

/** The code, or null: read in the pieces into which `cuts` divide it. */
function read(text: string, cuts: readonly number[] = []): string | null {
  const bytes = Buffer.from(text, 'latin1')
  const parts = new PartNames('b')
  let from = 0
  for (const to of [...cuts.toSorted((left, right) => left - right), bytes.length]) {
    const refusal = parts.push(bytes.subarray(from, to))
    if (refusal !== null) return refusal.refusal
    from = to
  }
  return parts.end()?.refusal ?? null
}

/** Whole, and byte by byte: the answer is the same. */
function code(text: string): string | null {
  const whole = read(text)
  expect(
    read(
      text,
      Array.from(text, (_, at) => at),
    ),
  ).toBe(whole)
  return whole
}

test('P7: a part _method in every writing that some reader takes for it', () => {
  for (const headers of [
    disposition('"_method"'),
    disposition('_method'),
    disposition('_method; x=y'),
    disposition('"_METHOD"'),
    disposition("'_method'"),
    disposition('"%5Fmethod"'),
    disposition('"\\_method"'),
    disposition('"_\\method"'),
    disposition('" _method "'),
    disposition('".method"'),
    disposition('"[method"'),
    disposition('"title"; name="_method"'),
    disposition('"a\\"; name="_method"'),
    disposition('"a"; filename="x; name=_method"'),
    `content-disposition:form-data;NAME = "_method"`,
    `Content-Disposition: form-data;\r\n name="_method"`,
    `Content-Disposition: form-data; name*=utf-8''%5Fmethod`,
    `Content-Disposition: form-data; name*="utf-8''_method"`,
    `X-A: b\r\n${disposition('"_method"')}\r\nContent-Type: text/plain`,
    'Content-ID: <_method>',
    'Content-ID: _method',
  ])
    expect(code(form(headers)), headers).toBe('method_refused')
  // Wherever a boundary can be seen, a part begins.
  for (const text of [
    form(disposition('"_method"')).replaceAll('\r\n--b', '--b'),
    form(disposition('"_method"')).replaceAll('--b\r\n', '--b \t\r\n'),
    `--b--\r\n--b\r\n${disposition('"_method"')}\r\n\r\nDELETE`,
    `--b\n${disposition('"_method"')}\n\nDELETE\n--b--\n`,
    `--b\r${disposition('"_method"')}\r\rDELETE\r--b--\r`,
  ])
    expect(code(text), text).toBe('method_refused')
})

test('headers that no plain reader understands are refused', () => {
  for (const headers of [
    `X-A: b\n${disposition('"x"')}`,
    `X-A: b\r${disposition('"x"')}`,
    disposition('"x\0"'),
    `Content-Disposition: form-data; name*0="_met"; name*1="hod"`,
    disposition('"=?utf-8?Q?=5Fmethod?="'),
    `X-A: ${'x'.repeat(PART_HEADERS_MAXIMUM_BYTES)}`,
  ])
    expect(code(form(headers)), headers.slice(0, 60)).toBe('request_malformed')
  expect(code(`--b\r\nX-A: ${'x'.repeat(PART_HEADERS_MAXIMUM_BYTES)}`)).toBe('request_malformed')
})

test('other names, and what a part holds, are let through', () => {
  for (const text of [
    form(disposition('"method"')),
    form(disposition('"the_method"')),
    form(disposition('"_methods"')),
    form(disposition('"file"; filename="_method.txt"')),
    form(disposition('"file"; filename="_method"')),
    form(`${disposition('"file"')}\r\nContent-Type: application/octet-stream`, 'name="_method"\r\n\r\n\n\n\0'),
    form(disposition(`"${'x'.repeat(2_000)}"`)),
    '--b\r\n\r\nx\r\n--b--\r\n',
    '',
    'not a form; name="_method"',
    `--b--\r\n${'x'.repeat(PART_HEADERS_MAXIMUM_BYTES / 2)}`,
  ])
    expect(code(text), text.slice(0, 120)).toBeNull()
})

test('a part is found wherever the body is cut', () => {
  const text = form(disposition('"_method"'), '\r\n-'.repeat(20))
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 12 }), (cuts) => {
      expect(read(text, cuts)).toBe('method_refused')
    }),
  )
})

test('what a part holds is not kept', () => {
  const parts = new PartNames('b')
  expect(parts.push(Buffer.from(`--b\r\n${disposition('"file"')}\r\n\r\n`))).toBeNull()
  const piece = Buffer.alloc(64 * 1024, '-')
  const before = process.memoryUsage().arrayBuffers
  for (let count = 0; count < 2_000; count++) expect(parts.push(piece)).toBeNull()
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024)
})

test('a boundary is read in one way, or not at all', () => {
  for (const [type, boundary] of [
    ['multipart/form-data; boundary=----WebKitFormBoundaryAbC123', '----WebKitFormBoundaryAbC123'],
    ['multipart/form-data; boundary="a b:c"', 'a b:c'],
    ['multipart/related; type="text/xml"; boundary="=====123=="; start="x"', '=====123=='],
    ['Multipart/Form-Data;BOUNDARY=x', 'x'],
    ['multipart/form-data; boundary=----=_Part_1_2.3; charset=utf-8', '----=_Part_1_2.3'],
  ] as const)
    expect(boundaryOf(type), type).toBe(boundary)
  for (const type of [
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary=""',
    'multipart/form-data; boundary=a; boundary=b',
    'multipart/form-data; xboundary=a; boundary=b',
    'multipart/form-data; boundary="a\\"b"',
    'multipart/form-data; boundary="a',
    'multipart/form-data; boundary=a b',
    'multipart/form-data; boundary="a "',
    'multipart/form-data; boundary=a,b',
    "multipart/form-data; boundary*=utf-8''a",
    `multipart/form-data; boundary=${'x'.repeat(71)}`,
    'multipart/form-data; x="; boundary=a',
  ])
    expect(boundaryOf(type), type).toMatchObject({ refusal: 'request_malformed' })
})
