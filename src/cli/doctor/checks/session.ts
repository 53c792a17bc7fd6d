import { request } from 'node:http'
import type { Io } from '../../io.ts'
import type { Canary } from '../canary.ts'
import { closed, notClosed } from '../finding.ts'
import type { Finding } from '../finding.ts'
import type { ProcessPlace } from '../inside/places.ts'

const ASK_MILLISECONDS = 5_000

/** Uses a placeholder of a session that is bound to another process than this one. */
export async function checkBinding(io: Io, canary: Canary, other: ProcessPlace): Promise<Finding> {
  const id = 'session-elsewhere'
  const title = 'a placeholder that is used outside of its run is refused'
  const client = io.client()
  const session = await client.call(
    'POST /environments/:environment/sessions',
    { environment: canary.environment },
    { agent: canary.name, process: other },
  )
  try {
    const told = await ask(session.credentials[0]?.baseUrl.url ?? '', session.credentials[0]?.fields[0]?.text ?? '')
    if (told === 'session_elsewhere') return closed(id, 'server', title)
    const remedy =
      process.platform === 'linux'
        ? 'Keyward reads /proc to tell processes apart: let it be mounted, and run agents under another user until then.'
        : 'Only Linux tells which process calls; revoke sessions that may have been seen: `keyward session revoke`.'
    const state = process.platform === 'linux' ? 'broken' : 'open'
    return notClosed(state, id, 'server', 'a placeholder works outside of its run', remedy, told)
  } finally {
    await client.call('DELETE /sessions/:id', { id: session.id }, {})
  }
}

/** The code of the refusal, or what came instead. */
function ask(baseUrl: string, placeholder: string): Promise<string> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${placeholder}` }
    const asking = request(`${baseUrl}/echo?form=plain&way=elsewhere`, { agent: false, headers }, (response) => {
      response.resume()
      resolve(String(response.headers['keyward-error'] ?? `answered ${response.statusCode ?? 0}`))
    })
    asking.setTimeout(ASK_MILLISECONDS, () => asking.destroy(new Error('no answer in time')))
    asking.on('error', (error) => resolve(error.message))
    asking.end()
  })
}
