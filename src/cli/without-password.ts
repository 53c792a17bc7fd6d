const hidden = '***'

/** The address of a database or a proxy as it may be shown: its password, wherever one may stand, is not in it. */
export function withoutPassword(text: string): string {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text
  // Up to the last @: a password that somebody forgot to escape may hold the others, and slashes too.
  return text
    .replace(/^([^:]+:\/\/[^:@/]*):.*@/s, `$1:${hidden}@`)
    .replace(/([?&][^=&#]*pass[^=&#]*=)[^&#]*/gi, `$1${hidden}`)
}
