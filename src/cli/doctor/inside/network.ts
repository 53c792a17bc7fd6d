import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { connect } from 'node:net'
import type { NetConnectOpts } from 'node:net'
import { request } from 'node:http'
import type { Attempt, Places } from './places.ts'

const CONTACT_MILLISECONDS = 700
const INSPECTOR_PORT = 9229

/** Ways past the gateway. Nothing leaves this machine: addresses outside are only asked for a route. */
export function networkAttempts(places: Places): Record<string, Attempt> {
  return {
    sockets: () => contactAll(places.sockets),
    'network-tcp': () => contact({ host: '127.0.0.1', port: places.tcpPort }),
    'network-udp': () => answersDatagram(places.udpPort),
    'network-dns': () => resolves(places.resolverPort),
    'network-abstract-socket': () => contact({ path: places.abstractSocket }),
    'network-route': () => hasRoute('udp4', '192.0.2.1'),
    'network-route-6': () => hasRoute('udp6', '2001:db8::1'),
    'network-inspector': () => isInspector(INSPECTOR_PORT),
  }
}

export function contact(target: NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(target, () => finish(true))
    const finish = (got: boolean): void => {
      socket.destroy()
      resolve(got)
    }
    socket.setTimeout(CONTACT_MILLISECONDS, () => finish(false))
    socket.on('error', () => finish(false))
  })
}

async function contactAll(paths: readonly string[]): Promise<string | false> {
  const answers = await Promise.all(paths.map((path) => contact({ path })))
  const found = paths.filter((_, index) => answers[index] === true)
  return found.length > 0 ? found.join(', ') : false
}

function answersDatagram(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    const finish = (got: boolean): void => {
      clearTimeout(timer)
      socket.close()
      resolve(got)
    }
    const timer = setTimeout(() => finish(false), CONTACT_MILLISECONDS)
    socket.on('message', () => finish(true)).on('error', () => finish(false))
    socket.send('x', port, '127.0.0.1')
  })
}

async function resolves(port: number): Promise<boolean> {
  const resolver = new Resolver({ timeout: CONTACT_MILLISECONDS, tries: 1 })
  resolver.setServers([`127.0.0.1:${port}`])
  return (await resolver.resolve4('keyward-doctor.test')).length > 0
}

/** Connecting a datagram socket looks for a route and sends nothing. The addresses are for documentation (RFC 5737, RFC 3849). */
function hasRoute(type: 'udp4' | 'udp6', address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket(type)
    const finish = (got: boolean): void => {
      socket.close()
      resolve(got)
    }
    // Given as a callback, `connect` would be told of errors, too.
    socket.once('connect', () => finish(true)).once('error', () => finish(false))
    socket.connect(9, address)
  })
}

/** Whether a debugger's door of some program stands open (Node's and Chrome's answer alike). */
function isInspector(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asking = request({ host: '127.0.0.1', port, path: '/json/version', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk.slice(0, 4096)))
      response.on('end', () => resolve(text.includes('Protocol-Version')))
    })
    asking.setTimeout(CONTACT_MILLISECONDS, () => asking.destroy())
    asking.on('error', () => resolve(false))
    asking.end()
  })
}
