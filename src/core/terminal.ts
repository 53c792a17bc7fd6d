/** The longest control sequence of a terminal that is passed over as one, in bytes. */
export const LONGEST_CONTROL_BYTES = 64

/** Returned for a sequence that the text ends in. */
export const CUT = -1

/**
 * Length of the rest of a control sequence after ESC (ECMA-48: CSI, OSC and the like, two- and three-byte
 * sequences), which is not shown. 0: nothing that belongs to ESC follows. `CUT`: it may go on after `end`.
 */
export function controlLength(text: Uint8Array, at: number, end: number, final: boolean): number {
  if (at >= end) return final ? 0 : CUT
  const kind = text[at] ?? 0
  const limit = Math.min(end, at + LONGEST_CONTROL_BYTES)
  const open = limit === end && !final && end - at < LONGEST_CONTROL_BYTES
  // CSI: parameters and intermediates, then one final byte.
  if (kind === 0x5b) {
    for (let i = at + 1; i < limit; i++) {
      const byte = text[i] ?? 0
      if (byte >= 0x40 && byte <= 0x7e) return i + 1 - at
      if (byte < 0x20 || byte > 0x3f) return 1
    }
    return open ? CUT : 1
  }
  // OSC, DCS, SOS, PM, APC: a string up to BEL or ESC \.
  if (kind === 0x5d || kind === 0x50 || kind === 0x58 || kind === 0x5e || kind === 0x5f) {
    for (let i = at + 1; i < limit; i++) {
      const byte = text[i] ?? 0
      if (byte === 0x07) return i + 1 - at
      if (byte === 0x1b) {
        if (i + 1 >= end) return final ? 1 : CUT
        return text[i + 1] === 0x5c ? i + 2 - at : 1
      }
    }
    return open ? CUT : 1
  }
  // Intermediates, then a final byte: ESC ( B and the like. Letters that belong to no sequence are text.
  if (kind >= 0x20 && kind <= 0x2f) {
    if (at + 1 >= end) return final ? 1 : CUT
    return 2
  }
  return kind === 0x37 || kind === 0x38 || kind === 0x3d || kind === 0x3e ? 1 : 0
}
