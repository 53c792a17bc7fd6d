/** What `import` leaves in place of a key: `keyward:NAME`, or `keyward:NAME/FIELD` where the credential has several secret fields. */
export interface Reference {
  readonly credential: string
  readonly field: string | null
}

const form = /^keyward:([a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?)(?:\/([A-Za-z][A-Za-z0-9_-]{0,63}))?$/

export function referenceIn(value: string): Reference | null {
  const match = form.exec(value)
  const credential = match?.[1]
  return credential === undefined ? null : { credential, field: match?.[2] ?? null }
}

export function referenceTo(credential: string, field: string | null): string {
  return field === null ? `keyward:${credential}` : `keyward:${credential}/${field}`
}

/**
 * The variables whose value is a reference, with the text that now stands for it. `resolve` gives the
 * text, or undefined where there is nothing of that name, which is left as it is.
 */
export function resolveReferences(
  variables: Iterable<readonly [string, string]>,
  resolve: (reference: Reference) => string | undefined,
): { readonly resolved: Record<string, string>; readonly missing: readonly string[] } {
  const resolved: Record<string, string> = {}
  const missing: string[] = []
  for (const [name, value] of variables) {
    const reference = referenceIn(value)
    if (reference === null) continue
    const text = resolve(reference)
    if (text === undefined) missing.push(name)
    else resolved[name] = text
  }
  return { resolved, missing }
}
