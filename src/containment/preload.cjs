'use strict'
/*
 * Loaded into every Node process of an agent (NODE_OPTIONS --require). Leads TLS connections, and
 * plain ones to port 80, through the proxy that HTTPS_PROXY names, for clients that do not look at
 * it: those with an https.Agent of their own, and fetch of Node 18 and 20. Loopback, Unix sockets
 * and connections that already run over a socket of the client's (a proxy agent) stay as they are.
 * Plain JavaScript for Node 18 and later, no dependency, no output.
 */
const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const path = require('node:path')
const tls = require('node:tls')
const { Duplex } = require('node:stream')
const { syncBuiltinESMExports } = require('node:module')

const installed = Symbol.for('keyward.preload')
const maximumAnswerBytes = 16 * 1024
const proxy = readProxy(process.env.HTTPS_PROXY || process.env.https_proxy)
if (proxy !== undefined && !globalThis[installed]) {
  Object.defineProperty(globalThis, installed, { value: true })
  install()
}

function readProxy(text) {
  try {
    const url = new URL(text)
    if (url.protocol !== 'http:') return undefined
    const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
    return {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port || 80),
      authorization: login === ':' ? '' : `Proxy-Authorization: Basic ${Buffer.from(login).toString('base64')}\r\n`,
    }
  } catch {
    return undefined
  }
}

function install() {
  const connectTls = tls.connect
  const connectNet = net.connect
  const connectAgent = http.Agent.prototype.createConnection
  const authority = readAuthority()

  tls.connect = function connect(...args) {
    const { options, listener } = readArguments(args)
    if (options === undefined) return connectTls.apply(this, args)
    if (authority !== undefined && options.ca && !isLoopback(options.servername || options.host)) {
      options.ca = [].concat(options.ca, authority)
    }
    if (!leadsOut(options)) return connectTls.call(this, options, ...listener)
    const tunnel = new Tunnel(options.host, options.port || 443, connectNet)
    const socket = connectTls.call(this, { ...options, socket: tunnel }, ...listener)
    for (const name of ['ref', 'unref']) {
      const own = socket[name]
      socket[name] = function reference() {
        tunnel[name]()
        return own.call(this)
      }
    }
    socket.once('close', () => tunnel.destroy())
    return socket
  }

  const leadPlain = (original) =>
    function connect(...args) {
      const { options, listener } = readArguments(args)
      if (options === undefined || Number(options.port) !== 80 || !leadsOut(options)) return original.apply(this, args)
      const tunnel = new Tunnel(options.host, 80, connectNet)
      for (const use of listener) tunnel.once('connect', use)
      return tunnel
    }
  net.connect = leadPlain(connectNet)
  net.createConnection = leadPlain(net.createConnection)
  const connectAgentLed = leadPlain(connectAgent)
  // An agent hands its own callback over as second argument; one that returns a stream need not call it.
  http.Agent.prototype.createConnection = function createConnection(options) {
    // An agent with proxyEnv (NODE_USE_ENV_PROXY) has rewritten the request for the proxy already.
    const proxied = this && this.options && this.options.proxyEnv
    if (proxied || !options || Number(options.port) !== 80) return connectAgent.apply(this, arguments)
    return connectAgentLed.call(this, options)
  }
  syncBuiltinESMExports()
}

/** Keyward's own certificate lies beside this file; needed only where a client names its own authorities. */
function readAuthority() {
  try {
    return fs.readFileSync(path.join(__dirname, 'ca.pem'), 'utf8')
  } catch {
    return undefined
  }
}

/** The forms of net.connect and tls.connect: (options), (port[, host][, options]), each with a listener; a path gives no options. */
function readArguments(args) {
  const given = Array.isArray(args[0]) ? args[0] : args
  const listener = given.filter((argument) => typeof argument === 'function').slice(-1)
  const first = given[0]
  if (first !== null && typeof first === 'object') return { options: { ...first }, listener }
  const port = Number(first)
  if (first === undefined || first === '' || !Number.isInteger(port)) return { options: undefined, listener }
  const more = given.find((argument) => argument !== null && typeof argument === 'object')
  return { options: { port, ...(typeof given[1] === 'string' ? { host: given[1] } : {}), ...more }, listener }
}

function leadsOut(options) {
  if (options.socket || options.path || !options.host) return false
  if (isLoopback(options.host)) return false
  return !(options.host === proxy.host && Number(options.port) === proxy.port)
}

function isLoopback(host) {
  const name = String(host || 'localhost')
    .toLowerCase()
    .replace(/^\[|\]$|\.$/g, '')
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    /^(::ffff:)?127\./.test(name) ||
    ['::1', '::', '0.0.0.0', '0:0:0:0:0:0:0:1'].includes(name)
  )
}

/** A byte stream to `host:port` through the proxy; what is written before the tunnel stands waits. */
class Tunnel extends Duplex {
  constructor(host, port, connect) {
    super({ allowHalfOpen: true })
    this.connecting = true
    this.waiting = undefined
    this.answer = Buffer.alloc(0)
    const target = net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
    const socket = connect({ host: proxy.host, port: proxy.port })
    this.socket = socket
    socket.setNoDelay(true)
    socket.once('connect', () => {
      socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${proxy.authorization}\r\n`, 'latin1')
    })
    socket.on('data', (chunk) => this.receive(chunk, target))
    socket.on('end', () => {
      if (this.connecting) this.refuse(target)
      else this.push(null)
    })
    socket.on('error', (error) => this.destroy(error))
    socket.on('timeout', () => this.emit('timeout'))
    socket.on('close', () => this.destroy())
  }

  receive(chunk, target) {
    if (!this.connecting) {
      if (!this.push(chunk)) this.socket.pause()
      return
    }
    this.answer = Buffer.concat([this.answer, chunk])
    const end = this.answer.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.answer.length > maximumAnswerBytes) this.refuse(target)
      return
    }
    if (!/^HTTP\/1\.[01] 2\d\d/.test(this.answer.toString('latin1', 0, 12))) {
      // The reason is in the body, which may come later; the proxy closes after a refusal.
      const body = this.answer.toString('latin1', end + 4)
      const length = Number((/\r\ncontent-length: *(\d+)/i.exec(this.answer.toString('latin1', 0, end)) || [])[1])
      if (body.length >= length || this.answer.length > maximumAnswerBytes) this.refuse(target)
      return
    }
    const rest = this.answer.subarray(end + 4)
    this.answer = Buffer.alloc(0)
    this.connecting = false
    this.emit('connect')
    this.emit('ready')
    if (rest.length > 0) this.push(rest)
    const waiting = this.waiting
    this.waiting = undefined
    if (waiting) waiting()
  }

  refuse(target) {
    const text = this.answer.toString('latin1')
    const status = (/^HTTP\/1\.[01] (\d{3})/.exec(text) || [])[1] || 'no answer'
    const reason = (/"code" *: *"([a-z_]+)"/.exec(text) || [])[1]
    const error = new Error(`The gateway refused ${target}: ${status}${reason ? ` ${reason}` : ''}`)
    error.code = 'ECONNREFUSED'
    if (reason) error.reason = reason
    this.destroy(error)
  }

  _read() {
    this.socket.resume()
  }

  _write(chunk, encoding, done) {
    if (this.connecting) this.waiting = () => this.socket.write(chunk, encoding, done)
    else this.socket.write(chunk, encoding, done)
  }

  _final(done) {
    if (this.connecting) this.waiting = () => this.socket.end(done)
    else this.socket.end(done)
  }

  _destroy(error, done) {
    this.socket.destroy()
    done(error)
  }

  ref() {
    this.socket.ref()
    return this
  }

  unref() {
    this.socket.unref()
    return this
  }

  setNoDelay(on) {
    this.socket.setNoDelay(on)
    return this
  }

  setKeepAlive(on, delay) {
    this.socket.setKeepAlive(on, delay)
    return this
  }

  setTimeout(milliseconds, listener) {
    this.socket.setTimeout(milliseconds)
    if (listener) this.once('timeout', listener)
    return this
  }
}
