/**
 * Where the two still differ, by the mutation alone that shows it. The list may only get shorter: what is
 * named here and does not differ any more fails as well.
 */
export const KNOWN: readonly string[] = [
  // Refused one step later, as an authority that has no canonical form.
  'absolute "http://HOST\\\\.evil.test"',
  'absolute "http://HOST#.evil.test"',
  // RFC 9110 section 5.6.3 counts a tab as white space; llhttp does not, behind a transfer coding.
  'transfer-encoding "chunked\\t"',
  // RFC 9110 section 6.5.1: framing has no place in trailers.
  'trailer "Content-Length: 5"',
  'trailer "Transfer-Encoding: chunked"',
]
/** Node drops what stands behind a request with Upgrade in the same piece; Keyward reads on. Seen in mixtures only. */
const KNOWN_IN_MIXTURES = /upgrade \[|meaning "Upgrade/

export function isKnown(name: string): boolean {
  return KNOWN.some((known) => name.includes(known)) || KNOWN_IN_MIXTURES.test(name)
}

/** The same, told by the bytes: for requests that nobody has named. */
const KNOWN_BYTES: readonly RegExp[] = [
  /(?:^|\n)[A-Z-]+ [A-Za-z]+:\/\/[^/?\r\n ]*[\\#|^"<>{}`]/,
  /\ntransfer-encoding:[^\r\n]*\t/i,
  /\r\n0+(?:;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*(?:content-length|transfer-encoding):/i,
  /\nupgrade:/i,
]

export function isKnownIn(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes).toString('latin1')
  return KNOWN_BYTES.some((pattern) => pattern.test(text))
}
