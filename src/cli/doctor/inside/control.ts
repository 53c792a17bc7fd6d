import { request } from 'node:http'
import type { RequestOptions } from 'node:http'
import { contact } from './network.ts'
import type { Attempt, Places } from './places.ts'

const ASK_MILLISECONDS = 2_000

/** Ways to ask Keyward itself for the secret. */
export function controlAttempts(places: Places): Record<string, Attempt> {
  const { controlSocket, gateway, service, token } = places
  const path = `/environments/${service.environment}/credentials/${service.credential}/reveal`
  const proxyAuthorization = `Basic ${Buffer.from(`session:${token}`).toString('base64')}`
  const reveals = (options: RequestOptions): Promise<boolean> =>
    ask(
      { method: 'POST', headers: { host: 'keyward', 'content-type': 'application/json' }, ...options },
      `{"confirmation":"${service.credential}"}`,
    )
  return {
    'control-socket': () => contact({ path: controlSocket }),
    'control-socket-root': () => contact({ path: `/proc/self/root${controlSocket}` }),
    'control-reveal': () => reveals({ socketPath: controlSocket, path }),
    'control-gateway': () => reveals({ ...gateway, path }),
    'control-gateway-proxy': () =>
      reveals({
        ...gateway,
        path: `http://${gateway.host}:${gateway.port}${path}`,
        headers: { 'content-type': 'application/json', 'proxy-authorization': proxyAuthorization },
      }),
  }
}

/** Whether it was answered with success. */
function ask(options: RequestOptions, body: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asking = request({ ...options, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    asking.setTimeout(ASK_MILLISECONDS, () => asking.destroy())
    asking.on('error', () => resolve(false))
    asking.end(body)
  })
}
