/** A settings file as an object; empty when there is none, or when it is not JSON. */
export function settingsOf(text: string | undefined): Readonly<Record<string, unknown>> {
  if (text === undefined) return {}
  try {
    return objectOf(JSON.parse(text))
  } catch {
    return {}
  }
}

/** The value when it is an object, otherwise an empty one. */
export function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {}
}

/** The object without these members. */
export function without(
  object: Readonly<Record<string, unknown>>,
  names: readonly string[],
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)))
}

/** Variables that a settings file may set: none that names a key, a route or a trust. */
export function harmlessVariables(variables: unknown): Readonly<Record<string, unknown>> {
  const refused =
    /(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS|URL|PROXY|CERT|CERTS|CERT_FILE|CA_BUNDLE|CONFIG_DIR)$|_USE_/i
  return Object.fromEntries(Object.entries(objectOf(variables)).filter(([name]) => !refused.test(name)))
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
