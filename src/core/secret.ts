const inspectSymbol = Symbol.for('nodejs.util.inspect.custom')

/**
 * The bytes of a secret field. Every way of printing it (string, JSON, inspect, template) gives its
 * name, so a secret cannot reach a log, an error or an answer by accident: whoever wants the bytes
 * must ask for them by `reveal` or `revealText`, two words that a reviewer can search for.
 */
export class Secret {
  readonly name: string
  readonly #bytes: Buffer

  /** Copies `bytes` into memory of its own (never the shared pool), so that `destroy` can zero it. */
  constructor(name: string, bytes: Uint8Array) {
    this.name = name
    this.#bytes = Buffer.alloc(bytes.byteLength)
    this.#bytes.set(bytes)
  }

  static fromText(name: string, text: string): Secret {
    const bytes = Buffer.from(text, 'utf8')
    const secret = new Secret(name, bytes)
    bytes.fill(0)
    return secret
  }

  get byteLength(): number {
    return this.#bytes.byteLength
  }

  /** Lends the bytes for the duration of `use`; they must not be kept. */
  reveal<T>(use: (bytes: Uint8Array) => T): T {
    return use(this.#bytes)
  }

  /** The bytes as UTF-8 text, for the moment in which a header is written. */
  revealText(): string {
    return this.#bytes.toString('utf8')
  }

  destroy(): void {
    this.#bytes.fill(0)
  }

  toString(): string {
    return `[secret ${this.name}]`
  }

  toJSON(): string {
    return this.toString()
  }

  [Symbol.toPrimitive](): string {
    return this.toString()
  }

  [inspectSymbol](): string {
    return this.toString()
  }
}
