import { randomBytes } from 'node:crypto'

const ID_CHARACTERS = 26
const ID_ALPHABET = Buffer.from('0123456789abcdefghjkmnpqrstvwxyz', 'latin1')
let idBytes = Buffer.alloc(0)
let idsDrawn = 0

/** 130 random bits in lower-case Crockford base 32. Draws randomness for many at a time: each request needs one. */
export function newId(): string {
  if (idsDrawn === idBytes.byteLength) {
    idBytes = randomBytes(ID_CHARACTERS * 256)
    for (let at = 0; at < idBytes.length; at++) idBytes[at] = ID_ALPHABET[(idBytes[at] ?? 0) & 31] ?? 0
    idsDrawn = 0
  }
  idsDrawn += ID_CHARACTERS
  return idBytes.toString('latin1', idsDrawn - ID_CHARACTERS, idsDrawn)
}
