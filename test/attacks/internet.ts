import { Socket } from 'node:net'

/** A connection that this process opened. */
export interface Dialled {
  /** Address or name; `unix:` and the path for a socket in the file system. */
  readonly host: string
  readonly port: number
}

/** The world outside, in a test that may reach loopback only. */
export interface Internet {
  /** Every connection that was tried, below everything that Keyward decides. The test's own are among them. */
  readonly dialled: readonly Dialled[]
  /** Connections that went anywhere but to this loopback port: the gateway's own. */
  dialledBeside(port: number): readonly Dialled[]
  /** Turns connections to this address and port to a port on loopback. Without a route they fail. */
  route(host: string, port: number, to: number): void
  close(): void
}

/** An address that nobody guards against, from the middle of public space. */
export const PUBLIC = '93.184.216.34'
export const SECOND_PUBLIC = '93.184.216.35'

/** Nothing listens there. */
const NOWHERE = 1

export function openInternet(): Internet {
  const dialled: Dialled[] = []
  const routes = new Map<string, number>()
  const original = Object.getOwnPropertyDescriptor(Socket.prototype, 'connect')
  const connect: unknown = original?.value
  if (original === undefined || typeof connect !== 'function') throw new Error('Sockets do not connect.')
  Object.defineProperty(Socket.prototype, 'connect', {
    ...original,
    value(this: Socket, ...given: unknown[]) {
      const [first, ...rest] = given
      // `net.connect` hands over its arguments as one list, `tls.connect` its options as they are.
      const options: unknown = Array.isArray(first) ? first[0] : first
      const turned = turn(options)
      if (Array.isArray(first)) first[0] = turned
      return Reflect.apply(connect, this, Array.isArray(first) ? given : [turned, ...rest])
    },
  })

  function turn(options: unknown): unknown {
    if (typeof options !== 'object' || options === null) throw new Error('A connection without options.')
    if ('path' in options && typeof options.path === 'string') {
      dialled.push({ host: `unix:${options.path}`, port: 0 })
      return options
    }
    const host = 'host' in options && typeof options.host === 'string' ? options.host : 'localhost'
    const port = 'port' in options ? Number(options.port) : 0
    dialled.push({ host, port })
    if (host === '127.0.0.1') return options
    return { ...options, host: '127.0.0.1', port: routes.get(`${host} ${port}`) ?? NOWHERE }
  }

  return {
    dialled,
    dialledBeside: (own) => dialled.filter(({ host, port }) => host !== '127.0.0.1' || port !== own),
    route: (host, port, to) => void routes.set(`${host} ${port}`, to),
    close: () => void Object.defineProperty(Socket.prototype, 'connect', original),
  }
}
