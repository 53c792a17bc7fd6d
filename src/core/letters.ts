/**
 * Which letter a character stands for when all that distinguishes writings of it is taken away: letter case,
 * width, font, accents, and the alphabet it was borrowed from. Letters are the bytes of `a` to `z` and `0` to
 * `9`; 0 stands for every character that is none.
 */
export function letterOf(code: number): number {
  if (code < 0x80) return asciiLetters[code] ?? 0
  confusables ??= confusableLetters()
  return confusables[code] ?? 0
}

/** By ASCII byte: its letter, or 0. */
export const asciiLetters = Uint8Array.from({ length: 128 }, (_, byte) => {
  const lower = byte | 0x20
  if (byte >= 0x30 && byte <= 0x39) return byte
  return lower >= 0x61 && lower <= 0x7a && byte >= 0x41 ? lower : 0
})

/**
 * Characters of other alphabets that are drawn like a Latin letter (Unicode Technical Standard 39,
 * confusables): the letter, then those that look like it in either case.
 */
const lookAlikes = [
  'a\u0410\u0430\u0391\u03b1\u0251\u15c5\u13aa\u2c6f\ua7fa',
  'b\u0412\u0392\u042c\u044c\u0432\u13f4\u15f7\u0184\u03b2',
  'c\u0421\u0441\u03f9\u03f2\u13df\u2ca4\u2ca5\u1d04',
  'd\u0501\u0500\u13a0\u15de\u1d05',
  'e\u0415\u0435\u0395\u03b5\u04bd\u13ac\u2c7b\u1d07\u212e',
  'f\u03dc\u15b4\u017f\u0192\ua798\ua799',
  'g\u0262\u050c\u050d\u0261\u13c0\u13f3\u0581',
  'h\u041d\u0397\u04bb\u04ba\u043d\u13bb\u157c\u0570\u2c8e\u029c',
  'i\u0406\u0456\u0399\u03b9\u0131\u04c0\u04cf\u13a5\u026a\u0269\u2160',
  'j\u0408\u0458\u03f3\u037f\u13ab\u148d\u1d0a',
  'k\u041a\u043a\u039a\u03ba\u13e6\u2c94\u212a\u1d0b',
  'l\u053c\u13de\u14aa\u2cd0\u029f\u217c\u01c0',
  'm\u041c\u043c\u039c\u03fa\u13b7\u15f0\u2c98\u1d0d\u217f',
  'n\u039d\u0578\u057c\u2c9a\u0274\u03b7',
  'o\u041e\u043e\u039f\u03bf\u0585\u0555\u2c9e\u2c9f\u1d0f\u03c3',
  'p\u0420\u0440\u03a1\u03c1\u13e2\u2ca2\u2ca3\u1d18',
  'q\u051a\u051b\u0566\u0563\u2d55',
  'r\u13a1\u13d2\u01a6\u0280\u0433\u1d26',
  's\u0405\u0455\u13da\u13d5\u054f\ua731\u01bd',
  't\u0422\u0442\u03a4\u03c4\u13a2\u2ca6\u1d1b',
  'u\u057d\u054d\u222a\u1200\u1d1c\u03c5\u028b',
  'v\u0474\u0475\u03bd\u13d9\u0667\u2d38\u1d20\u2164\u2174',
  'w\u051c\u051d\u0461\u13b3\u13d4\u1d21\u026f\u03c9',
  'x\u0425\u0445\u03a7\u03c7\u2cac\u2573\u166e\u2169\u2179',
  'y\u0423\u0443\u04ae\u04af\u03a5\u03d2\u13a9\u2ca8\u028f\u03b3',
  'z\u0396\u03b6\u13c3\u2c8c\u1d22',
  '3\u0417\u0437\u04e0\u04e1',
  '4\u13ce',
  '6\u0431\u13ee\u2cd2',
  '8\u0222\u0223',
]

/** Where characters lie that Unicode itself declares to be a letter or digit in other dress (NFKD). */
const dressed: readonly (readonly [number, number])[] = [
  [0xaa, 0x24f],
  [0x2b0, 0x2b8],
  [0x1d2c, 0x1d6a],
  [0x1e00, 0x1eff],
  [0x2070, 0x209c],
  [0x2100, 0x2149],
  [0x2460, 0x24ff],
  [0xff10, 0xff5a],
  [0x1d400, 0x1d7ff],
  [0x1f110, 0x1f149],
]

/** Behind the last character that is drawn like a letter. */
const CONFUSABLE_END = 0x1f18a

/** By character: its letter, or 0. */
let confusables: Uint8Array | undefined

/** Made when the first character outside ASCII is met: most answers never need it. */
function confusableLetters(): Uint8Array {
  const letters = new Uint8Array(CONFUSABLE_END)
  for (const [from, to] of dressed) {
    for (let code = from; code <= to; code++) {
      // Enclosed forms come with brackets or a stop: `(a)`, `1.`.
      const bare = String.fromCodePoint(code)
        .normalize('NFKD')
        .replaceAll(/[^A-Za-z0-9]/g, '')
      const letter = bare.length === 1 ? (asciiLetters[bare.charCodeAt(0)] ?? 0) : 0
      if (letter !== 0) letters[code] = letter
    }
  }
  // White letters in black circles and squares have no such declaration.
  for (const base of [0x1f130, 0x1f150, 0x1f170]) for (let i = 0; i < 26; i++) letters[base + i] = 0x61 + i
  for (const [letter = '', ...others] of lookAlikes.map((row) => [...row]))
    for (const other of others) letters[other.codePointAt(0) ?? 0] = letter.charCodeAt(0)
  return letters
}

/** 1 for each first byte of a UTF-8 sequence that may stand for a letter; all other bytes from 0x80 on never do. */
export const leadsLetter = Uint8Array.from({ length: 256 }, (_, byte) => {
  const ranges = [
    [0xc2, 0xca],
    [0xcd, 0xd6],
    [0xe1, 0xe2],
    [0xea, 0xea],
    [0xef, 0xf0],
  ]
  return ranges.some(([from = 0, to = 0]) => byte >= from && byte <= to) ? 1 : 0
})
