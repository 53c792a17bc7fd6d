import { createHash, createHmac, createSecretKey } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { base62, base64url, makePlaceholder, makeSessionToken } from '../../../src/core/placeholder.ts'
import type { PlaceholderShape, RandomText } from '../../../src/core/placeholder.ts'

/**
 * Makes tokens.json: `node test/vectors/token/make.ts`. Nothing is drawn at random: each text comes
 * from the hash of its label, so it is the same on every machine and opens nothing anywhere.
 */
export function tokenVectors() {
  const keyLabel = 'keyward token vector key'
  const key = createSecretKey(createHash('sha256').update(keyLabel).digest())
  const hashOf = (text: string): string => createHmac('sha256', key).update(text).digest('base64url')
  const sessions = ['first', 'second'].map((label) => {
    const text = makeSessionToken(textFromLabel(`session ${label}`))
    return { label: `session ${label}`, text, hash: hashOf(text) }
  })
  const placeholders = Object.entries(shapes).map(([label, shape]) => {
    const { text, short } = makePlaceholder(shape, textFromLabel(`placeholder ${label}`))
    return { label: `placeholder ${label}`, shape, text, short, hash: hashOf(text) }
  })
  return {
    purpose: 'Texts that Keyward recognises as its own, and damaged ones that it does not. See docs/formats/token.md.',
    keyLabel,
    sessions,
    placeholders,
    damagedSessions: damage(sessions.map(({ text }) => text)),
    damagedPlaceholders: damage(placeholders.map(({ text }) => text)),
  }
}

const shapes: Readonly<Record<string, PlaceholderShape>> = {
  open: { prefix: 'key-', alphabet: base62, length: null },
  bare: { prefix: '', alphabet: base62, length: 32 },
  short: { prefix: 'id', alphabet: base62, length: 20 },
  suffixed: { prefix: 'echo_', suffix: '==', alphabet: base64url, length: 64 },
}

function damage(texts: readonly string[]): { what: string; text: string }[] {
  return texts.flatMap((text) => [
    { what: 'the last character is missing', text: text.slice(0, -1) },
    { what: 'a character is added', text: `${text}0` },
    { what: 'a random character is changed', text: changed(text, 14) },
    { what: 'two random characters are exchanged', text: exchanged(text, 13) },
    { what: 'the letter case is turned', text: text.toUpperCase() },
    { what: 'a space stands before it', text: ` ${text}` },
  ])
}

function changed(text: string, at: number): string {
  return text.slice(0, at) + (text[at] === 'x' ? 'y' : 'x') + text.slice(at + 1)
}

function exchanged(text: string, from: number): string {
  let at = from
  while (text[at] === text[at + 1]) at += 1
  return text.slice(0, at) + text.charAt(at + 1) + text.charAt(at) + text.slice(at + 2)
}

/** Characters from SHA-256 of the label and a counter, bytes past the last whole multiple of the alphabet left out. */
function textFromLabel(label: string): RandomText {
  return (length, alphabet) => {
    const usable = 256 - (256 % alphabet.length)
    let text = ''
    for (let block = 0; text.length < length; block += 1) {
      for (const byte of createHash('sha256').update(`${label} ${block}`).digest()) {
        if (byte < usable && text.length < length) text += alphabet.charAt(byte % alphabet.length)
      }
    }
    return text
  }
}

if (import.meta.main) {
  writeFileSync(new URL('tokens.json', import.meta.url), `${JSON.stringify(tokenVectors(), null, 2)}\n`)
}
