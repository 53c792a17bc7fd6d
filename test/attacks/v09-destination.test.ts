import { afterAll, beforeAll, expect } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts, type Front } from './attack.ts'
import { openScene, type Scene } from './scene.ts'
import type { Ask } from '../e2e/gateway/requests.ts'

/** V9, V10: the caller names another place for the key to go to. */

let scene: Scene
let thief: Upstream
beforeAll(async () => {
  scene = await openScene()
  thief = await startUpstream((_request, response) => response.end('thanks'))
  scene.answer((_request, response) => response.end('the service itself'))
})
afterAll(async () => {
  await scene.close()
  await thief.close()
})

/** It came to the service, with its key and under its name, or it was refused; the other place heard nothing either way. */
async function expectUnmoved(front: Front, rest: Partial<Ask>, what: string): Promise<void> {
  const before = scene.upstream.got.length
  const answer = await scene.ask(front, rest)
  if (answer.status === 200) {
    expect(answer.body.toString(), what).toBe('the service itself')
    const got = scene.upstream.got.at(-1)
    expect(scene.upstream.got.length, what).toBe(before + 1)
    expect(got?.headers.host, what).toBe(scene.echo.host)
    expect(got?.headers.authorization, what).toBe(`Bearer ${scene.echo.secret()}`)
  } else {
    expect(['request_malformed', 'host_mismatch'], what).toContain(codeOf(answer))
    expect(scene.upstream.got.length, what).toBe(before)
  }
  expect(thief.open, what).toBe(0)
  expect(thief.received().length, what).toBe(0)
}

const members = [
  'api_base',
  'base_url',
  'baseURL',
  'api_url',
  'endpoint',
  'custom_host',
  'url',
  'host',
  'upstream',
  'target',
  'proxy',
  'webhook',
  'redirect_uri',
  'aws_bedrock_runtime_endpoint',
  'azure_endpoint',
]

attack('V9', 'in the body, as JSON and as a form, at the top and nested', fronts, async (front) => {
  for (const value of [thief.origin, `127.0.0.1:${thief.port}`]) {
    const all = Object.fromEntries(members.map((member) => [member, value]))
    const json = {
      ...all,
      model: 'm',
      litellm_params: all,
      metadata: { ...all },
      extra_body: all,
      provider: { options: all },
    }
    await expectUnmoved(
      front,
      {
        method: 'POST',
        target: '/v1/chat/completions',
        headers: [['Content-Type', 'application/json']],
        body: JSON.stringify(json),
      },
      'JSON',
    )
    await expectUnmoved(
      front,
      {
        method: 'POST',
        headers: [['Content-Type', 'application/x-www-form-urlencoded']],
        body: new URLSearchParams(all).toString(),
      },
      'form',
    )
  }
})

attack('V9', 'in the query', fronts, async (front) => {
  for (const member of members)
    await expectUnmoved(front, { target: `/v1/models?${member}=${encodeURIComponent(thief.origin)}` }, member)
})

const headers = [
  'X-Portkey-Custom-Host',
  'X-Portkey-Config',
  'X-Portkey-Provider',
  'X-Litellm-Api-Base',
  'X-Api-Base',
  'Api-Base',
  'X-Base-Url',
  'X-Upstream',
  'X-Upstream-Url',
  'X-Target-Host',
  'X-Target-Url',
  'X-Backend',
  'X-Proxy-To',
  'X-Forwarded-Host',
  'X-Forwarded-Server',
  'X-Forwarded-Port',
  'X-Forwarded-Proto',
  'Forwarded',
  'X-Original-Host',
  'X-Original-Url',
  'X-Rewrite-Url',
  'X-Host',
  'X_Forwarded_Host',
  'Proxy-Host',
  'Destination',
  'Location',
  'X-Real-Host',
  'Keyward-Endpoint',
]

attack('V10', 'in a header, by every name that a gateway has listened to', fronts, async (front) => {
  for (const name of headers) {
    for (const value of [
      thief.origin,
      `127.0.0.1:${thief.port}`,
      JSON.stringify({ custom_host: thief.origin }),
      `host=127.0.0.1:${thief.port}`,
    ])
      await expectUnmoved(front, { headers: [[name, value]] }, name)
  }
})

attack('V10', 'what says how the request came, or speaks to proxies, does not go on', fronts, async (front) => {
  await scene.ask(front, {
    headers: [
      ['X-Forwarded-Host', 'evil.example.test'],
      ['X-Forwarded-For', '127.0.0.1'],
      ['Forwarded', 'host=evil.example.test'],
      // HTTP/2 has no connection header, and a stream with one is reset before anything is read of it.
      ...(front.protocol === 'h2' ? [] : [['Proxy-Connection', 'keep-alive'] as const]),
      ['Proxy-Echo', thief.origin],
      ['Keyward-Endpoint', thief.origin],
    ],
  })
  const names = Object.keys(scene.upstream.got.at(-1)?.headers ?? {})
  expect(names.filter((name) => /^(?:x-forwarded|forwarded|proxy-|keyward-|via)/.test(name))).toEqual([])
})

attack(
  'V10',
  'in a second Host, or a Host that is not the one of the door',
  fronts.filter(({ protocol }) => protocol === 'http/1.1'),
  async (front) => {
    for (const lines of [
      [['Host', `127.0.0.1:${thief.port}`]],
      [
        ['Host', scene.echo.host],
        ['Host', `127.0.0.1:${thief.port}`],
      ],
      [['Host', `${scene.echo.host}, 127.0.0.1:${thief.port}`]],
      [['Host', `${scene.echo.host}@127.0.0.1:${thief.port}`]],
    ] as const)
      await expectUnmoved(front, { headers: lines }, JSON.stringify(lines))
  },
)
