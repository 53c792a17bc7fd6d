/**
 * Frames of the WebSocket protocol (RFC 6455 section 5), read strictly and piece by piece: the payload of a
 * data frame is handed on as it comes, so no frame has to be held whole, however long it says it is.
 */

/** What a frame may announce as its length; a terabyte is more than any service sends. */
export const FRAME_MAXIMUM_BYTES = 2 ** 40
/** RFC 6455 section 5.5. */
export const CONTROL_MAXIMUM_BYTES = 125

export type MessageKind = 'text' | 'binary'
export type ControlKind = 'close' | 'ping' | 'pong'

/** Why a connection cannot go on: the status of its Close frame (RFC 6455 section 7.4.1) and one sentence. */
export interface FrameFault {
  readonly closeCode: 1002 | 1007 | 1009
  readonly why: string
}

/** Takes what is read. Each call may give a fault, which ends the reading. */
export interface FrameSink {
  begin(kind: MessageKind): FrameFault | null
  /** A piece of the message's payload, without its mask. */
  data(piece: Buffer): FrameFault | null
  end(): FrameFault | null
  /** The payload is a copy. */
  control(kind: ControlKind, payload: Buffer): FrameFault | null
}

const CONTINUATION = 0
const opcodes: Readonly<Record<MessageKind | ControlKind, number>> = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 }
const controls: Readonly<Record<number, ControlKind>> = { 8: 'close', 9: 'ping', 10: 'pong' }

const broken = (why: string): FrameFault => ({ closeCode: 1002, why })

/** Reads the frames of one direction. `masked`: they come from a client, which masks each of them (section 5.1); a server masks none. */
export class FrameReader {
  readonly #masked: boolean
  readonly #sink: FrameSink
  readonly #head = Buffer.alloc(14)
  #filled = 0
  /** Bytes that the head has, as far as is known. */
  #needed = 2
  #inMessage = false
  #control: { readonly kind: ControlKind; readonly payload: Buffer } | null = null
  #final = false
  #left = 0
  #read = 0
  #inPayload = false
  #mask: Buffer | null = null
  #fault: FrameFault | null = null

  constructor(masked: boolean, sink: FrameSink) {
    this.#masked = masked
    this.#sink = sink
  }

  /** Whether more of a frame must come before anything is whole. */
  get midFrame(): boolean {
    return this.#inPayload || this.#filled > 0
  }

  /** The bytes are unmasked where they lie, so the chunk is not to be used again. After a fault nothing is read any more. */
  push(chunk: Buffer): FrameFault | null {
    let at = 0
    while (this.#fault === null && at < chunk.length) {
      if (!this.#inPayload) {
        this.#head[this.#filled++] = chunk[at++] ?? 0
        if (this.#filled === this.#needed) this.#fault = this.#readHead()
        continue
      }
      const take = Math.min(this.#left, chunk.length - at)
      this.#fault = this.#readPayload(chunk.subarray(at, at + take))
      at += take
    }
    return this.#fault
  }

  #readHead(): FrameFault | null {
    const head = this.#head
    const second = head[1] ?? 0
    const short = second & 0x7f
    if (this.#needed === 2) {
      const fault = this.#readOpcode(head[0] ?? 0, second)
      if (fault !== null) return fault
      this.#needed += (short === 126 ? 2 : short === 127 ? 8 : 0) + (this.#masked ? 4 : 0)
      if (this.#needed > 2) return null
    }
    let length = short
    if (short === 126) {
      length = head.readUInt16BE(2)
      if (length < 126) return broken('The length of a frame is not written in its shortest form.')
    } else if (short === 127) {
      const high = head.readUInt32BE(2)
      if (high >= 2 ** 31) return broken('The length of a frame is negative.')
      length = high * 2 ** 32 + head.readUInt32BE(6)
      if (length < 65_536) return broken('The length of a frame is not written in its shortest form.')
      if (length > FRAME_MAXIMUM_BYTES) return { closeCode: 1009, why: 'A frame announces more than is accepted.' }
    }
    this.#mask = this.#masked ? Buffer.from(head.subarray(this.#needed - 4, this.#needed)) : null
    this.#filled = 0
    this.#needed = 2
    this.#read = 0
    this.#left = length
    this.#inPayload = true
    return length === 0 ? this.#endFrame() : null
  }

  #readOpcode(first: number, second: number): FrameFault | null {
    // Nothing was negotiated that gives these bits a meaning: compression, above all.
    if ((first & 0x70) !== 0) return broken('A frame has reserved bits set (it may be compressed).')
    if (second >= 0x80 !== this.#masked)
      return broken(this.#masked ? 'A frame of the client is not masked.' : 'A frame of the service is masked.')
    const opcode = first & 0x0f
    this.#final = first >= 0x80
    const control = controls[opcode]
    if (control !== undefined) {
      const length = second & 0x7f
      if (!this.#final || length > CONTROL_MAXIMUM_BYTES) return broken('A control frame is fragmented or too long.')
      this.#control = { kind: control, payload: Buffer.alloc(length) }
      return null
    }
    if (opcode > opcodes.binary) return broken('A frame has a reserved opcode.')
    if ((opcode === CONTINUATION) !== this.#inMessage)
      return broken(this.#inMessage ? 'A message begins within another.' : 'A frame continues no message.')
    if (opcode === CONTINUATION) return null
    this.#inMessage = true
    return this.#sink.begin(opcode === opcodes.text ? 'text' : 'binary')
  }

  #readPayload(piece: Buffer): FrameFault | null {
    if (this.#mask !== null) applyMask(piece, this.#mask, this.#read)
    let fault: FrameFault | null = null
    if (this.#control === null) fault = this.#sink.data(piece)
    else piece.copy(this.#control.payload, this.#read)
    this.#read += piece.length
    this.#left -= piece.length
    return fault ?? (this.#left === 0 ? this.#endFrame() : null)
  }

  #endFrame(): FrameFault | null {
    this.#inPayload = false
    const control = this.#control
    this.#control = null
    if (control !== null) return this.#sink.control(control.kind, control.payload)
    if (!this.#final) return null
    this.#inMessage = false
    return this.#sink.end()
  }
}

/** Section 5.3. `offset`: how much of the frame's payload came before. */
function applyMask(bytes: Buffer, mask: Uint8Array, offset: number): void {
  for (let at = 0; at < bytes.length; at++) bytes[at] = (bytes[at] ?? 0) ^ (mask[(offset + at) & 3] ?? 0)
}

/**
 * One frame. `kind` null continues a message. `mask`: four fresh random bytes where a client speaks, null where
 * a server does.
 */
export function frameOf(
  kind: MessageKind | ControlKind | null,
  final: boolean,
  pieces: readonly Uint8Array[],
  mask: Uint8Array | null,
): Buffer {
  let length = 0
  for (const piece of pieces) length += piece.byteLength
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8
  const start = 2 + extended + (mask === null ? 0 : 4)
  const frame = Buffer.allocUnsafe(start + length)
  frame[0] = (final ? 0x80 : 0) | (kind === null ? CONTINUATION : opcodes[kind])
  frame[1] = (mask === null ? 0 : 0x80) | (extended === 0 ? length : extended === 2 ? 126 : 127)
  if (extended === 2) frame.writeUInt16BE(length, 2)
  else if (extended === 8) frame.writeBigUInt64BE(BigInt(length), 2)
  let at = start
  for (const piece of pieces) {
    frame.set(piece, at)
    at += piece.byteLength
  }
  if (mask !== null) {
    frame.set(mask, start - 4)
    applyMask(frame.subarray(start), mask, 0)
  }
  return frame
}
