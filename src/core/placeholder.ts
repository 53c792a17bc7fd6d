/** `length` characters drawn from `alphabet`, evenly and independently. */
export type RandomText = (length: number, alphabet: string) => string

/**
 * How a placeholder looks: `prefix + 'kwp' + random + checksum + suffix`. `length` counts all of it;
 * null leaves the room open. `alphabet` holds at least the 62 letters and digits, because the
 * checksum is written in them.
 */
export interface PlaceholderShape {
  readonly prefix: string
  readonly suffix?: string
  readonly alphabet: string
  readonly length: number | null
}

export interface Placeholder {
  readonly text: string
  /** Fewer than 100 random bits: valid only together with a session that is proven otherwise. */
  readonly short: boolean
}

/** The order of the digits is that of GitHub's and npm's tokens. */
export const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
export const base64url = `${base62}-_`

/** No text longer than this is a placeholder or a session token. */
export const maximumTokenLength = 256
/** A recogniser does not know the shape, so it tries every length of suffix up to this one. */
export const maximumSuffixLength = 16

const mark = 'kwp'
const sessionPrefix = 'kws_'
const loginPrefix = 'kwl_'
export const checksumLength = 6
const openRandomLength = 22
const tokenRandomLength = 32
const minimumRandomLength = 8
const enoughRandomBits = 100

/**
 * Makes one placeholder. Throws a TypeError when the shape leaves no room or cannot carry the
 * checksum: that is a mistake in a detector.
 */
export function makePlaceholder(shape: PlaceholderShape, randomCharacters: RandomText): Placeholder {
  const suffix = shape.suffix ?? ''
  const fixedLength = shape.prefix.length + mark.length + checksumLength + suffix.length
  const randomLength = shape.length === null ? openRandomLength : shape.length - fixedLength
  if (randomLength < minimumRandomLength) throw new TypeError('the shape leaves no room for a placeholder')
  if (suffix.length > maximumSuffixLength || fixedLength + randomLength > maximumTokenLength) {
    throw new TypeError('the shape is too long for a placeholder')
  }
  for (const digit of base62) {
    if (!shape.alphabet.includes(digit)) throw new TypeError('the alphabet of the shape lacks a letter or digit')
  }
  const start = shape.prefix + mark + randomCharacters(randomLength, shape.alphabet)
  return {
    text: start + checksum(start + suffix) + suffix,
    short: randomLength * Math.log2(new Set(shape.alphabet).size) < enoughRandomBits,
  }
}

/**
 * Whether the text has Keyward's mark and a checksum that fits. Anyone may make such a text, so this
 * only tells a placeholder from a key; whether it stands for something is a look-up.
 */
export function looksLikePlaceholder(text: string): boolean {
  if (text.length > maximumTokenLength) return false
  const at = text.indexOf(mark)
  if (at < 0) return false
  const last = text.length - checksumLength
  const first = Math.max(at + mark.length + minimumRandomLength, last - maximumSuffixLength)
  if (first > last) return false
  // What comes before the checksum is read once, however many lengths of suffix are tried.
  let before = crcOver(crcStart, text, 0, first)
  for (let start = first; start <= last; start += 1) {
    const end = start + checksumLength
    if (text.slice(start, end) === base62Digits(crcOver(before, text, end, text.length))) return true
    before = crcOver(before, text, start, start + 1)
  }
  return false
}

/** `kws_` + 32 random characters (190 bits) + checksum. */
export function makeSessionToken(randomCharacters: RandomText): string {
  return makeToken(sessionPrefix, randomCharacters)
}

/** Whether the text has the form of a session token and a checksum that fits. */
export function looksLikeSessionToken(text: string): boolean {
  return looksLikeToken(sessionPrefix, text)
}

/** Of a person's login: `kwl_`, and on as a session token. */
export function makeLoginToken(randomCharacters: RandomText): string {
  return makeToken(loginPrefix, randomCharacters)
}

export function looksLikeLoginToken(text: string): boolean {
  return looksLikeToken(loginPrefix, text)
}

function makeToken(prefix: string, randomCharacters: RandomText): string {
  const start = prefix + randomCharacters(tokenRandomLength, base62)
  return start + checksum(start)
}

function looksLikeToken(prefix: string, text: string): boolean {
  if (text.length !== prefix.length + tokenRandomLength + checksumLength) return false
  if (!text.startsWith(prefix)) return false
  return text.slice(-checksumLength) === checksum(text.slice(0, -checksumLength))
}

/** CRC-32 (IEEE 802.3) as six base62 digits: finds every single changed character. */
export function checksum(text: string): string {
  return base62Digits(crcOver(crcStart, text, 0, text.length))
}

const crcStart = 0xffffffff

/** The state of the CRC after the characters from `from` up to, not including, `to`. */
function crcOver(state: number, text: string, from: number, to: number): number {
  let crc = state
  for (let index = from; index < to; index += 1) {
    // The high byte is fed too, so that no character outside Latin-1 stands in for one inside.
    const unit = text.charCodeAt(index)
    crc = (crc >>> 8) ^ (crcTable[(crc ^ unit) & 0xff] ?? 0)
    if (unit > 0xff) crc = (crc >>> 8) ^ (crcTable[(crc ^ (unit >>> 8)) & 0xff] ?? 0)
  }
  return crc
}

function base62Digits(state: number): string {
  let rest = (state ^ 0xffffffff) >>> 0
  let digits = ''
  for (let place = 0; place < checksumLength; place += 1) {
    digits = base62.charAt(rest % 62) + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})
