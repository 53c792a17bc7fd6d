import type { RandomText } from '../core/placeholder.ts'

/** Draws characters from a source of random bytes, each with the same chance: bytes past the last whole multiple of the alphabet are thrown away. */
export function randomTextFrom(randomBytes: (size: number) => Uint8Array): RandomText {
  return (length, alphabet) => {
    const size = alphabet.length
    if (size < 2 || size > 256) throw new TypeError('an alphabet has 2 to 256 characters')
    const usable = 256 - (256 % size)
    let text = ''
    while (text.length < length) {
      for (const byte of randomBytes(length - text.length)) {
        if (byte < usable) text += alphabet.charAt(byte % size)
      }
    }
    return text
  }
}
