import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decide } from '../../../src/core/policy.ts'
import { openStage, type Stage } from './harness.ts'
import { doors, requestBytes, type Door, type Held, type Login } from './requests.ts'
import { always, startUpstream, type Upstream } from './upstream.ts'
import type { Wire } from './wire.ts'

/** Promise 3: what policy saw is byte for byte what is sent. */

let stage: Stage
let upstream: Upstream
let echo: Held
let slashed: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  const rules = {
    endpoint: upstream.origin,
    allow: ['GET /open/**', 'POST /open/{one}', 'DELETE /'],
    deny: ['* /open/closed/**'],
  }
  echo = await stage.hold({ id: 'echo', ...rules })
  slashed = await stage.hold({ id: 'slashed', encodedSlash: true, ...rules })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const piece = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('open', 'closed', 'a', 'b.c', 'Open', 'x~y', '~', '-') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '',
      '.',
      '..',
      '%2e',
      '%2E%2e',
      '%2f',
      '%2F',
      '%5c',
      ';',
      ';a=b',
      '%3b',
      '%41',
      '%c3%a9',
      '%25',
      '%2525',
      '%',
      '%0a',
      '\\',
      '"',
      '{',
      '*',
      '+',
      '@',
      ':',
      ',',
      '&',
      "'",
      '!',
      '(',
      '|',
      '^',
      '[',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.string({
      minLength: 1,
      maxLength: 4,
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    }),
  },
)
const path = fc
  .array(
    fc.array(piece, { minLength: 1, maxLength: 2 }).map((parts) => parts.join('')),
    { minLength: 0, maxLength: 5 },
  )
  .chain((segments) => fc.constantFrom(`/${segments.join('/')}`, `/open/${segments.join('/')}`))
const query = fc.option(
  fc
    .array(fc.oneof(piece, fc.constantFrom('=', '&', '?', '/', '%20')), { maxLength: 5 })
    .map((parts) => `?${parts.join('')}`),
  { nil: '' },
)
const method = fc.constantFrom('GET', 'GET', 'GET', 'POST', 'DELETE', 'HEAD', 'PUT')

test.each(doors)(
  '%s: an accepted request reaches the service with exactly the target that policy allowed',
  async (door: Door) => {
    let accepted = 0
    const wires = new Map<Held, Wire>()
    await fc.assert(
      fc.asyncProperty(method, path, query, fc.boolean(), async (verb, rawPath, rawQuery, withSlash) => {
        const held = withSlash ? slashed : echo
        const target = rawPath + rawQuery
        let wire = wires.get(held)
        if (wire === undefined || wire.socket.destroyed || !wire.socket.writable) {
          wire = await stage.open(door, held.host, login)
          wires.set(held, wire)
        }
        const before = upstream.got.length
        wire.write(
          requestBytes(stage, {
            door,
            held,
            login,
            method: verb,
            target,
            headers: [['Authorization', `Bearer ${login.placeholder(held)}`]],
          }),
        )
        const answer = await wire.answer({ method: verb })
        if (answer.headers.some(([name, value]) => name === 'connection' && value === 'close')) {
          wire.close()
          wires.delete(held)
        }
        const arrived = upstream.got.slice(before)
        if (answer.status !== 200) {
          expect(arrived).toEqual([])
          expect(answer.headers.some(([name]) => name === 'keyward-error')).toBe(true)
          return
        }
        accepted += 1
        expect(arrived.map((got) => [got.method, got.target])).toEqual([[verb, target]])
        const decision = decide({
          method: verb,
          target: arrived[0]?.target ?? '',
          operation: null,
          grants: stage.app.grants.of(held.agentId, held.credentialId),
          now: Date.now(),
        })
        expect(decision.allow).toBe(true)
        // No reader of this path, however it unescapes or folds, comes to the denied place.
        expect(decodeURIComponent(new URL(`http://x${target}`).pathname).toLowerCase()).not.toMatch(
          /^\/open\/closed(\/|$)/,
        )
      }),
      { numRuns: 400 },
    )
    for (const wire of wires.values()) wire.close()
    expect(accepted).toBeGreaterThan(20)
  },
)
