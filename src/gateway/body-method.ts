import { headerValues, type RequestHead } from '../core/request.ts'
import type { RequestBody, UpstreamBody } from './body.ts'
import { MethodParameter } from './form-method.ts'
import { boundaryOf, PartNames } from './part-names.ts'
import { isRefusal, type Refusal } from './refusal.ts'

const FORM = /^\s*application\/x-www-form-urlencoded\b/i
const PARTS = /^\s*multipart\//i
const refusal: Refusal = { refusal: 'method_refused', detail: 'The body would change the method.' }

/** What looks at a body on its way. */
interface Watch {
  push(bytes: Uint8Array): Refusal | null
  end(): Refusal | null
}

/**
 * The body, or the refusal of a form that names another method, be it one text or several parts. One that is
 * too large to be read whole is broken off where it does.
 */
export function bodyWithoutMethod(head: RequestHead, body: UpstreamBody): { readonly body: UpstreamBody } | Refusal {
  if (body === null) return { body }
  const watch = watchFor(head)
  if (watch === null) return { body }
  if (isRefusal(watch)) return watch
  if (body instanceof Uint8Array) return watch.push(body) ?? watch.end() ?? { body }
  return { body: watched(body, watch) }
}

/** Rack reads a POST that does not say what it brings as a form, and every body of several parts as one. */
function watchFor(head: RequestHead): Watch | Refusal | null {
  const [type] = headerValues(head.headers, 'content-type')
  if (type === undefined ? head.method === 'POST' : FORM.test(type)) {
    const parameter = new MethodParameter()
    return { push: (bytes) => (parameter.push(bytes) ? refusal : null), end: () => null }
  }
  if (type === undefined || !PARTS.test(type)) return null
  const boundary = boundaryOf(type)
  return typeof boundary === 'string' ? new PartNames(boundary) : boundary
}

function watched(body: RequestBody, watch: Watch): RequestBody {
  let isRefused = false
  return {
    length: body.length,
    read: (sink) =>
      body.read({
        data(chunk) {
          if (isRefused) return
          const why = watch.push(chunk)
          isRefused = why !== null
          if (why === null) sink.data(chunk)
          else sink.fail(why)
        },
        end(trailers) {
          if (isRefused) return
          const why = watch.end()
          if (why === null) sink.end(trailers)
          else sink.fail(why)
        },
        fail(why) {
          if (!isRefused) sink.fail(why)
        },
      }),
    pause: () => body.pause(),
    resume: () => body.resume(),
  }
}
