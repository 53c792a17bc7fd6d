/** Texts up to this length are copied to one place that has a view already: making a view costs more than that. */
const SHORT_BYTES = 4_096
/** Zeros after a copied text, so that nobody who looks a little beyond its end sees what was searched before. */
const PADDING_BYTES = 16

const place = new Uint8Array(SHORT_BYTES + PADDING_BYTES)
const placeView = new DataView(place.buffer)

/** A text that is searched, with a view of it by which several bytes are read at once. */
export class SearchedText {
  bytes: Uint8Array = place
  view: DataView = placeView

  /** Turns to another text. What it showed before is gone. */
  turn(text: Uint8Array): void {
    const { length } = text
    if (length > SHORT_BYTES) {
      this.bytes = text
      this.view = viewOf(text)
      return
    }
    place.set(text)
    for (let at = length; at < length + PADDING_BYTES; at++) place[at] = 0
    this.bytes = place
    this.view = placeView
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
