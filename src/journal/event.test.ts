import { Buffer } from 'node:buffer'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson } from '../core/canonical-json.ts'
import { Secret } from '../core/secret.ts'
import { encodeEvent, MAX_EVENT_LENGTH } from './event.ts'

const text = fc.string({ unit: 'binary', maxLength: 12 })
const value = fc.oneof(
  text,
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.constant(null),
  fc.jsonValue({ maxDepth: 3 }),
)

describe('an event', () => {
  it('is spelled as canonical JSON, whatever its members and their order', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.oneof(text, fc.constantFrom('agent', 'a', 'B', '10', '9', 'a\nb', '__proto__')), value),
        (members) => {
          const event = { ...members, kind: 'intent' as const }
          const plain = JSON.parse(JSON.stringify(event))
          expect(encodeEvent(plain)).toBe(canonicalJson(plain))
        },
      ),
      { numRuns: 500 },
    )
  })

  it('leaves out what is undefined', () => {
    expect(encodeEvent({ b: 1, kind: 'stop', a: undefined })).toBe('{"b":1,"kind":"stop"}')
  })

  it('never carries a secret or anything else that is not plain JSON', () => {
    const secret = Secret.fromText('key', 'material')
    const foreign: unknown[] = [
      secret,
      [secret],
      { a: { b: secret } },
      Buffer.from('x'),
      new Date(0),
      new Map(),
      () => 1,
      1n,
      Symbol('x'),
      Number.NaN,
      Infinity,
      [undefined],
    ]
    for (const member of foreign) {
      const event = { kind: 'intent' as const }
      Reflect.set(event, 'member', member)
      expect(() => encodeEvent(event), String(typeof member)).toThrow(TypeError)
    }
    const circle: Record<string, never> = {}
    Reflect.set(circle, 'again', circle)
    expect(() => encodeEvent({ kind: 'intent', circle })).toThrow(TypeError)
  })

  it('is of a known kind and of bounded length', () => {
    const stranger = { kind: 'intent' as const }
    Reflect.set(stranger, 'kind', 'gossip')
    expect(() => encodeEvent(stranger)).toThrow(TypeError)
    expect(() => encodeEvent({ kind: 'intent', text: 'x'.repeat(MAX_EVENT_LENGTH) })).toThrow(TypeError)
  })
})
