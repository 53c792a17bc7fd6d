// Calls every method of grpc_server.mjs through the proxy that the environment names, and prints what came.
import { readFileSync } from 'node:fs'
import { Client, Metadata, credentials } from '@grpc/grpc-js'

const { GRPC_HOST, GRPC_CA, GRPC_KEY } = process.env
const client = new Client(`${GRPC_HOST}:443`, credentials.createSsl(readFileSync(GRPC_CA)))
const metadata = new Metadata()
metadata.set('authorization', `Bearer ${GRPC_KEY}`)

const write = (text) => Buffer.from(text)
const read = (bytes) => bytes
const path = (name) => `/test.Echo/${name}`
/** Field 1 of the message, if its length is right. */
const text = (bytes) => (bytes[1] === bytes.length - 2 ? bytes.subarray(2).toString() : `wrong length ${bytes[1]}`)

function gather(call) {
  return new Promise((done) => {
    const got = { messages: [] }
    call.on('data', (message) => got.messages.push(text(message)))
    call.on('metadata', (head) => (got.head = head.get('x-head')[0]))
    call.on('error', () => undefined)
    call.on('status', ({ code, details, metadata: trailers }) =>
      done({ ...got, code, details, trailer: trailers.get('x-trailer')[0], refused: trailers.get('keyward-error')[0] }),
    )
  })
}

function once(name, options = {}) {
  return new Promise((done) => {
    const got = { messages: [] }
    const call = client.makeUnaryRequest(path(name), write, read, 'hello', metadata, options, (_error, message) => {
      if (message !== undefined) got.messages.push(text(message))
    })
    call.on('metadata', (head) => (got.head = head.get('x-head')[0]))
    call.on('status', ({ code, details, metadata: trailers }) =>
      done({ ...got, code, details, trailer: trailers.get('x-trailer')[0], refused: trailers.get('keyward-error')[0] }),
    )
    if (options.cancel) setTimeout(() => call.cancel(), 300)
  })
}

const clientStream = () =>
  new Promise((done) => {
    const call = client.makeClientStreamRequest(path('Client'), write, read, metadata, (error, message) =>
      done({ code: error?.code ?? 0, messages: message === undefined ? [] : [text(message)] }),
    )
    for (const part of ['a', 'b', 'c']) call.write(part)
    call.end()
  })

async function both() {
  const call = client.makeBidiStreamRequest(path('Both'), write, read, metadata)
  const all = gather(call)
  // Each message is written after the answer to the one before: nothing may be held back.
  for (const part of ['one', 'two', 'three']) {
    const answered = new Promise((next) => call.once('data', next))
    call.write(part)
    await answered
  }
  call.end()
  return all
}

console.log(
  JSON.stringify({
    unary: await once('Unary'),
    server: await gather(client.makeServerStreamRequest(path('Server'), write, read, 'go', metadata)),
    client: await clientStream(),
    both: await both(),
    fail: await once('Fail'),
    denied: await once('Denied'),
    deadline: await once('Slow', { deadline: Date.now() + 1_000 }),
    cancelled: await once('Slow', { cancel: true }),
  }),
)
client.close()
