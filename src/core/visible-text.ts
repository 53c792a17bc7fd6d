/**
 * What a terminal would obey, hide or turn around: controls (ESC among them), the bidirectional and other format
 * characters, separators of lines, spaces that are not the space, what is ignored or not assigned, lone surrogates,
 * and marks heaped on marks.
 */
const UNSEEN =
  /(?! )[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}\p{Default_Ignorable_Code_Point}]|(?<=\p{M}\p{M})\p{M}/gu

const short: ReadonlyMap<string, string> = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
])

/** The text with each such character written as an escape, so that what is read is all that is there. */
export function visibleText(text: string): string {
  return text.replace(UNSEEN, (found) => short.get(found) ?? `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`)
}

/** As much of a text as `maximum` characters hold: its beginning and its end, with how much is left out between. */
export function excerptOf(text: string, maximum: number): { readonly text: string; readonly cut: boolean } {
  if (text.length <= maximum) return { text, cut: false }
  const end = Math.floor(maximum / 4)
  const left = text.length - maximum
  return {
    text: `${text.slice(0, maximum - end)} […${left} characters left out…] ${text.slice(text.length - end)}`,
    cut: true,
  }
}
