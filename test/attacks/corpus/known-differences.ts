/**
 * Node drops what stands behind a request with Upgrade in the same piece, though nobody upgrades; Keyward reads
 * on, as RFC 9110 section 7.8 has it. Seen in mixtures only. Anything else that the two read differently is a fault.
 */
const KNOWN_IN_MIXTURES = /upgrade \[|meaning "Upgrade/

export function isKnown(name: string): boolean {
  return KNOWN_IN_MIXTURES.test(name)
}

/** The same, told by the bytes: for requests that nobody has named. */
export function isKnownIn(bytes: Uint8Array): boolean {
  return /\nupgrade:/i.test(Buffer.from(bytes).toString('latin1'))
}
