import { randomInt } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { base62, looksLikePlaceholder, makePlaceholder } from '../core/placeholder.ts'
import type { RandomText } from '../core/placeholder.ts'
import { checkDetector } from './conformance.ts'
import type { Detector } from './detector.ts'
import { detectors } from './index.ts'
import { isKey, keysIn } from './recognise.ts'

const random: RandomText = (length, alphabet) =>
  Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('')
const clock = () => performance.now()
const rows = detectors.map((detector): [string, Detector] => [detector.id, detector])

test.each(rows)('%s keeps every promise', (_id, detector) => {
  expect(checkDetector(detector, random, clock)).toEqual([])
})

test('the list is in alphabetical order and has every file', () => {
  const ids = detectors.map((detector) => detector.id)
  expect(ids).toEqual(ids.toSorted())
  const files = readdirSync(new URL('.', import.meta.url)).filter((file) => !file.endsWith('.test.ts'))
  const parts = ['conformance', 'detector', 'index', 'recognise']
  expect(files.toSorted()).toEqual([...ids, ...parts].map((name) => `${name}.ts`).toSorted())
})

/** These shapes are digits or hex of a fixed kind, which a placeholder cannot be. */
const cannotMatch = new Set(['deepseek'])
/** These shapes mean nothing without a word beside them. */
const hints: Record<string, string> = {
  'azure-openai': 'AZURE_OPENAI_API_KEY',
  generic: 'API_KEY',
  mistral: 'MISTRAL_API_KEY',
}

test.each(rows)(
  'a placeholder of %s has the shape of the vendor’s key, with at least 100 random bits',
  (id, detector) => {
    const { text, short } = makePlaceholder(detector.placeholder, random)
    expect(short).toBe(false)
    expect(text).toMatch(/^[\w.-]+$/)
    const seen = keysIn(id in hints ? `${hints[id]}=${text}` : text, detector)
    if (cannotMatch.has(id) || id === 'azure-openai') return
    expect(seen).toEqual([expect.objectContaining({ key: text, isPlaceholder: true })])
  },
)

test('no key of one vendor passes for that of another', () => {
  for (const detector of detectors) {
    if (detector.id === 'generic') continue
    for (const example of detector.examples(random)) {
      for (const other of detectors) {
        if (other.id === 'generic' || other === detector) continue
        const sightings = keysIn(example, other)
        expect(sightings, `${detector.id} seen by ${other.id}`).toEqual([])
      }
    }
  }
})

test('a value is recognised with the name of its variable, and a placeholder is told apart', () => {
  const [mistral, github] = ['mistral', 'github'].map((id) => detectors.find((detector) => detector.id === id))
  if (mistral === undefined || github === undefined) throw new Error('missing')
  const value = random(32, base62)
  expect(isKey(value, 'MISTRAL_API_KEY', mistral)).toBe(true)
  expect(isKey(value, 'LAST_COMMIT', mistral)).toBe(false)
  expect(isKey(makePlaceholder(github.placeholder, random).text, 'GH_TOKEN', github)).toBe(false)
})

const sound: Detector = {
  id: 'sound',
  name: 'Sound',
  keywords: ['snd_'],
  pattern: /(?<!\w)(snd_[A-Za-z0-9]{20,60})(?!\w)/g,
  placeholder: { prefix: 'snd_', alphabet: base62, length: null },
  examples: (text) => [`snd_${text(20, base62)}`],
  lookAlikes: (text) => [`snd_${text(10, base62)}`],
}

const brokenDetectors: Record<string, [RegExp, Detector]> = {
  'misses its examples': [/does not match/, { ...sound, examples: (text) => [`sn_${text(20, base62)}`] }],
  'matches a look-alike': [/look-alike/, { ...sound, lookAlikes: (text) => [`snd_${text(30, base62)}`] }],
  'has a keyword that is not in the key': [/does not match/, { ...sound, keywords: ['sound'] }],
  'has a keyword in capitals': [/lower-case/, { ...sound, keywords: ['SND_'] }],
  'has no g flag': [/g flag/, { ...sound, pattern: new RegExp(sound.pattern.source) }],
  'backtracks without end': [/slow/, { ...sound, pattern: /(snd_\w*!|snd_[A-Za-z0-9]{20,60})(?!\w)/g }],
}

test('a sound detector passes', () => {
  expect(checkDetector(sound, random, clock)).toEqual([])
})

test.each(Object.entries(brokenDetectors))('the suite fails a detector that %s', (_name, [complaint, detector]) => {
  const check = () => checkDetector(detector, random, clock).join('\n')
  if (!detector.pattern.global) expect(() => check()).toThrow(TypeError)
  else expect(check()).toMatch(complaint)
})

test('no text in the repository looks like a live key', () => {
  const root = new URL('../../', import.meta.url)
  const unmistakable = detectors.filter(({ id }) => !(id in hints))
  for (const folder of ['src', 'docs']) {
    for (const entry of readdirSync(new URL(`${folder}/`, root), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.(ts|md|ya?ml|json)$/.test(entry.name)) continue
      const text = readFileSync(`${entry.parentPath}/${entry.name}`, 'utf8')
      for (const detector of unmistakable) {
        const live = keysIn(text, detector).filter(
          ({ key, isPlaceholder }) => !isPlaceholder && !looksLikePlaceholder(key),
        )
        expect(live.length, `${entry.name} holds something like a ${detector.name}`).toBe(0)
      }
    }
  }
})
