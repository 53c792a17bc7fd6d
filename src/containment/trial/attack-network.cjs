'use strict'
/* Ways past the gateway. Nothing leaves this machine. */
const { spawnSync } = require('node:child_process')
const dgram = require('node:dgram')
const dns = require('node:dns/promises')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const calls = require('./system-calls.cjs')

module.exports = (place) => {
  const { shell, contact } = require('./tools.cjs')(place)
  const got = (text) => text.includes('got')
  const answers = (family, host, port, bytes) =>
    new Promise((done) => {
      const socket = dgram.createSocket(family)
      socket.on('message', () => (socket.close(), done(true))).on('error', () => done(false))
      socket.send(bytes, port, host)
      setTimeout(() => done(false), 300).unref()
    })
  return {
    abstractSocket: () => contact(place.abstractSocket),
    loopbackTcp: () => contact({ host: '127.0.0.1', port: place.tcpPort }),
    loopbackIpv6: () => contact({ host: '::1', port: place.tcpPort6 }),
    outwardRoute: () =>
      shell(
        `[ "$(wc -l </proc/net/route)" -gt 1 ] || [ "$(grep -vc ' lo$' /proc/net/if_inet6)" -gt 0 ] && echo ${place.secret}`,
      ),
    datagram: () =>
      new Promise((done) => {
        const socket = dgram.createSocket('udp4')
        socket.on('message', () => (socket.close(), done(true))).on('error', () => done(false))
        socket.send('x', place.udpPort, '127.0.0.1')
        setTimeout(() => done(false), 300).unref()
      }),
    datagramIpv6: () => answers('udp6', '::1', place.udpPort6, 'x'),
    // The first packet of QUIC is a long header of at least 1200 bytes (RFC 9000, section 14.1).
    quic: () =>
      answers('udp4', '127.0.0.1', place.udpPort, Buffer.concat([Buffer.from([0xc3, 0, 0, 0, 1]), Buffer.alloc(1195)])),
    nameServer: async () => {
      const resolver = new dns.Resolver({ timeout: 300, tries: 1 })
      resolver.setServers([`127.0.0.1:${place.resolverPort}`])
      return (await resolver.resolve4('secret.example.test')).length > 0
    },
    withoutProxyVariables: () =>
      spawnSync(
        process.execPath,
        [
          '-e',
          `require('net').connect(${place.tcpPort}, '127.0.0.1', () => process.exit(7)).on('error', () => process.exit(1))`,
        ],
        { env: { NO_PROXY: '*', no_proxy: '*' }, timeout: 5000 },
      ).status === 7,
    everyAbstractSocket: async () => {
      const names = fs.readFileSync('/proc/net/unix', 'latin1').match(/@\S+$/gm) ?? []
      const reached = await Promise.all(names.map((name) => contact(`\0${name.slice(1)}`)))
      return reached.includes(true)
    },
    laterSocket: async () => {
      for (const until = Date.now() + 5000; Date.now() < until && !fs.existsSync(place.laterSocket);) await wait()
      return contact(place.laterSocket)
    },
    debuggerPort: () =>
      new Promise((done) => {
        http
          .get(
            { host: '127.0.0.1', port: place.inspectorPort, path: '/json/version' },
            (answer) => (answer.resume(), done(answer.statusCode === 200)),
          )
          .on('error', () => done(false))
      }),
    rawSocket: () => got(calls.socket(2, 3, 1)),
    packetSocket: () => got(calls.socket(17, 3, 0)),
    pingSocket: () => got(calls.socket(2, 2, 1)),
    machineSocket: () => got(calls.vsock(place.vsockPort)),
    ring: () => got(calls.ringConnect(place.tcpPort)),
    otherInterfaces: () =>
      Object.values(os.networkInterfaces())
        .flat()
        .some((one) => one?.internal === false),
  }

  function wait() {
    return new Promise((done) => setTimeout(done, 20))
  }
}
