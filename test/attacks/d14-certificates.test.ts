import { afterAll, beforeAll, expect } from 'vitest'
import { createAuthority } from '../fakes/authority.ts'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts, type Front } from './attack.ts'
import { ask, outcomeOf } from './asking.ts'
import { openInternet, PUBLIC, SECOND_PUBLIC, type Internet } from './internet.ts'

/** At the absolute form a service with TLS is refused before anybody is dialled, which D2 shows. */
const tlsFronts = fronts.filter(({ door }) => door !== 'absolute')

const slug = ({ name }: Front): string => name.replace(' ', '-')

let internet: Internet
let stage: Stage
let login: Login
const upstreams: Upstream[] = []
const bad: [name: string, held: Held, upstream: Upstream][] = []
let good: Held
let goodUpstream: Upstream

const DAY_MILLISECONDS = 86_400_000

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  const authority = await createAuthority()
  const stranger = await createAuthority('Another authority')
  const start = async (leaf: { readonly key: string; readonly cert: string }): Promise<Upstream> => {
    const upstream = await startUpstream(always(200, {}, 'ok'), { leaf })
    upstreams.push(upstream)
    return upstream
  }
  const leaves = {
    'of nobody whom we trust': await stranger.issue(['case0.bad.test']),
    'for another host': await authority.issue(['case1.good.test']),
    'for a wildcard one label too high': await authority.issue(['*.test']),
    'for a host of which this is the end': await authority.issue(['xcase3.bad.test']),
    expired: await authority.issue(['case4.bad.test'], {
      notBefore: Date.now() - 9 * DAY_MILLISECONDS,
      notAfter: Date.now() - DAY_MILLISECONDS,
    }),
    'not valid yet': await authority.issue(['case5.bad.test'], {
      notBefore: Date.now() + DAY_MILLISECONDS,
      notAfter: Date.now() + 9 * DAY_MILLISECONDS,
    }),
    'of the gateway’s own authority, for another host': await authority.issue(['localhost', '127.0.0.1']),
  }
  for (const [index, [name, leaf]] of Object.entries(leaves).entries()) {
    const host = `case${index}.bad.test`
    const upstream = await start(leaf)
    const address = `93.184.217.${index + 1}`
    stage.names.set(host, [address])
    internet.route(address, 443, upstream.port)
    bad.push([name, await stage.hold({ id: `bad${index}`, hosts: [host], trust: authority.certificate }), upstream])
  }
  // A certificate that is good for its host, at a service that does not name its authority.
  const private_ = await start(await authority.issue(['plain.bad.test']))
  stage.names.set('plain.bad.test', [SECOND_PUBLIC])
  internet.route(SECOND_PUBLIC, 443, private_.port)
  bad.push([
    'of a private authority that the service does not name',
    await stage.hold({ id: 'plain', hosts: ['plain.bad.test'] }),
    private_,
  ])
  goodUpstream = await start(await authority.issue(['api.good.test']))
  stage.names.set('api.good.test', [PUBLIC])
  internet.route(PUBLIC, 443, goodUpstream.port)
  good = await stage.hold({ id: 'good', hosts: ['api.good.test'], trust: authority.certificate })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  for (const upstream of upstreams) await upstream.close()
  internet.close()
})

attack('D14', 'a certificate that does not verify for the host gets not one byte', tlsFronts, async (front) => {
  for (const [name, held, upstream] of bad) {
    expect(outcomeOf(await ask(stage, front, { held, login })), name).toBe('upstream_untrusted')
    expect(upstream.received().length, name).toBe(0)
  }
})

attack('D14', 'a poisoned name leads to a server that cannot prove itself', tlsFronts, async (front) => {
  const victim = bad[0]
  if (victim === undefined) throw new Error('There is no case.')
  const [, , attacker] = victim
  expect(outcomeOf(await ask(stage, front, { held: good, login }))).toBe('answered 200')
  const poisoned = await stage.hold({ id: `poisoned-${slug(front)}`, hosts: [`${slug(front)}.good.test`] })
  const who = await stage.login('triage')
  stage.names.set(`${slug(front)}.good.test`, ['93.184.217.1'])
  expect(outcomeOf(await ask(stage, front, { held: poisoned, login: who }))).toBe('upstream_untrusted')
  expect(attacker.received().length).toBe(0)
})

attack('D14', 'a server without TLS where TLS is due gets nothing', tlsFronts, async (front) => {
  const clear = await startUpstream(always(200, {}, 'ok'))
  stage.names.set('api.good.test', ['93.184.217.99'])
  internet.route('93.184.217.99', 443, clear.port)
  const held = await stage.hold({ id: `clear-${slug(front)}`, hosts: [`clear-${slug(front)}.good.test`] })
  stage.names.set(`clear-${slug(front)}.good.test`, ['93.184.217.99'])
  const who = await stage.login('triage')
  const answer = await ask(stage, front, { held, login: who })
  expect(answer.status).toBe(502)
  expect(clear.received().includes(held.secret())).toBe(false)
  expect(clear.got.length).toBe(0)
  await clear.close()
})
