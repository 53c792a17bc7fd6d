// A gRPC server that shows what it was sent: `node grpc_server.mjs KEY CERTIFICATE [gzip|deflate]`.
import { readFileSync } from 'node:fs'
import { Metadata, Server, ServerCredentials, compressionAlgorithms, status } from '@grpc/grpc-js'

const [, , key, certificate, compression] = process.argv
const options =
  compression === undefined ? {} : { 'grpc.default_compression_algorithm': compressionAlgorithms[compression] }
const server = new Server(options)

const method = (name, requestStream, responseStream) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: Buffer.from,
  requestDeserialize: (bytes) => bytes.toString(),
  responseSerialize: (text) => Buffer.from(text),
  responseDeserialize: (bytes) => bytes,
})

/** A protobuf message whose field 1 is a string: its length stands inside. */
const field = (text) => Buffer.concat([Buffer.from([0x0a, Buffer.byteLength(text)]), Buffer.from(text)])
const shown = (call) => String(call.metadata.get('authorization')[0])

function trailersOf(call) {
  const trailers = new Metadata()
  trailers.set('x-trailer', shown(call))
  return trailers
}

server.addService(
  {
    Unary: method('Unary', false, false),
    Server: method('Server', false, true),
    Client: method('Client', true, false),
    Both: method('Both', true, true),
    Fail: method('Fail', false, false),
    Slow: method('Slow', false, false),
    Denied: method('Denied', false, false),
  },
  {
    Unary(call, done) {
      const head = new Metadata()
      head.set('x-head', shown(call))
      call.sendMetadata(head)
      done(null, field(`${shown(call)} ${call.request}`), trailersOf(call))
    },
    Server(call) {
      for (let i = 0; i < 5; i++) call.write(field(`${i} ${shown(call)}`))
      call.end(trailersOf(call))
    },
    Client(call, done) {
      const parts = []
      call.on('data', (part) => parts.push(part))
      call.on('end', () => done(null, field(`${parts.join()} ${shown(call)}`)))
    },
    Both(call) {
      call.on('data', (part) => call.write(field(`${part} ${shown(call)}`)))
      call.on('end', () => call.end())
    },
    Fail(call, done) {
      done({ code: status.FAILED_PRECONDITION, details: `not with ${shown(call)}`, metadata: trailersOf(call) })
    },
    Slow(call) {
      console.log('slow')
      call.on('cancelled', () => console.log('cancelled'))
    },
    Denied: (_call, done) => done(null, field('never')),
  },
)

const credentials = ServerCredentials.createSsl(null, [
  { private_key: readFileSync(key), cert_chain: readFileSync(certificate) },
])
server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
  if (error !== null) throw error
  console.log(`port ${port}`)
})
