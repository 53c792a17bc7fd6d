/** How a front writes requests: the same hostile request is tried at every one of them. */
export interface Scene {
  /** The target of the request line for a path at the service. */
  target(path: string): string
  readonly host: string
  /** Lines that every request of this front carries, without their line ends. */
  readonly lines: readonly string[]
}

/** Origin form and nothing that proves a session: for parsers alone. */
export const bareScene: Scene = { target: (path) => path, host: 'api.example.test', lines: [] }

/** A request in parts, so that each part can be made hostile by itself. Text is latin1: one character a byte. */
export interface Draft {
  readonly scene: Scene
  /** Every path of the case begins with this, so that what arrives somewhere can be traced back to it. */
  readonly root: string
  before: string
  method: string
  gap: string
  /** Path and query at the service. */
  path: string
  /** The whole target, instead of what the scene makes of `path`. */
  target: string | null
  secondGap: string
  version: string
  lineEnd: string
  host: string | null
  lines: string[]
  /** What ends the head, after the last line's own end. */
  headEnd: string
  body: string
  after: string
}

export function plainDraft(scene: Scene, root: string): Draft {
  return {
    scene,
    root,
    before: '',
    method: 'GET',
    gap: ' ',
    path: `${root}/plain`,
    target: null,
    secondGap: ' ',
    version: 'HTTP/1.1',
    lineEnd: '\r\n',
    host: `Host: ${scene.host}`,
    lines: [],
    headEnd: '\r\n',
    body: '',
    after: '',
  }
}

export function bytesOf(draft: Draft): Buffer {
  const { scene } = draft
  const line = `${draft.method}${draft.gap}${draft.target ?? scene.target(draft.path)}${draft.secondGap}${draft.version}`
  const lines = [...(draft.host === null ? [] : [draft.host]), ...scene.lines, ...draft.lines]
  const head = [line, ...lines].map((text) => text + draft.lineEnd).join('')
  return Buffer.from(draft.before + head + draft.headEnd + draft.body + draft.after, 'latin1')
}

/** A whole, well-formed request for `path` below the case's root: what a smuggler would like to have sent. */
export function another({ scene, root }: Draft, name: string, method = 'GET'): string {
  const lines = [`Host: ${scene.host}`, ...scene.lines].map((line) => `${line}\r\n`).join('')
  return `${method} ${scene.target(`${root}/${name}`)} HTTP/1.1\r\n${lines}\r\n`
}

/** Bytes as a failure prints them: they can be pasted into a string literal. */
export function escaped(bytes: Uint8Array): string {
  return [...bytes]
    .map((byte) => {
      if (byte === 0x0d) return '\\r'
      if (byte === 0x0a) return '\\n'
      if (byte === 0x5c || byte === 0x27) return `\\${String.fromCharCode(byte)}`
      return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
    })
    .join('')
}
