/**
 * Where the value of the parameter `name` stands in a form (`application/x-www-form-urlencoded`), or why it
 * cannot be told. Frameworks take more than one writing for a name: `;` has separated parameters too (HTML 4.01
 * appendix B.2.2), spaces before a name are dropped, `name[]` and `name[x]` go into `name`, and PHP reads dots
 * and spaces in a name as underscores (php.net, Variables From External Sources). A parameter that any of them
 * would take for the same counts as another one of it, and so does one that `;` sets apart.
 */
export function findParameter(
  text: string,
  name: string,
): { readonly start: number; readonly end: number } | 'absent' | 'twice' | 'unreadable' {
  let found: { readonly start: number; readonly end: number } | 'absent' = 'absent'
  for (let at = 0; at <= text.length;) {
    const end = parameterEnd(text, at)
    const parameter = text.slice(at, end)
    const sign = parameter.indexOf('=')
    const written = decodedName(sign < 0 ? parameter : parameter.slice(0, sign))
    if (written === null) return 'unreadable'
    if (isTakenFor(written, name)) {
      const isPlain = text[at - 1] !== ';' && text[end] !== ';' && sign >= 0
      if (found !== 'absent' || written !== name || !isPlain) return 'twice'
      if (decodedName(parameter.slice(sign + 1)) === null) return 'unreadable'
      found = { start: at + sign + 1, end }
    }
    at = end + 1
  }
  return found
}

function parameterEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x26 || code === 0x3b) return at
  }
  return text.length
}

/** Null: a percent sign begins no escape, or what is escaped is not UTF-8. */
function decodedName(written: string): string | null {
  try {
    return decodeURIComponent(written.replaceAll('+', ' '))
  } catch {
    return null
  }
}

function isTakenFor(written: string, name: string): boolean {
  // An old reader ends a name at a NUL.
  const [text = ''] = written.trimStart().split('\0', 1)
  const wanted = plain(name)
  return plain(text) === wanted || plain(text.split('[', 1)[0] ?? '') === wanted
}

/** Upper case first: it also joins letters that lower case keeps apart (the long s and s). */
function plain(name: string): string {
  return name.toUpperCase().toLowerCase().replaceAll(/[ .[]/g, '_')
}
