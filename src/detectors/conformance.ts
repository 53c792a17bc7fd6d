import { looksLikePlaceholder, makePlaceholder } from '../core/placeholder.ts'
import type { Detector, RandomText } from './detector.ts'
import { keysIn } from './recognise.ts'

const rounds = 50
const hostileLength = 100_000
/** A linear pattern needs a few milliseconds for 100 kB; a quadratic one needs most of a second, or seconds. */
const patienceMilliseconds = 200

/** What every detector promises. Gives one sentence for each promise that is broken; none means that it conforms. */
export function checkDetector(detector: Detector, random: RandomText, clock: () => number): string[] {
  const broken: string[] = []
  if (!detector.pattern.global) broken.push('its pattern lacks the g flag')
  if (detector.keywords.length === 0) broken.push('it has no keywords')
  for (const keyword of detector.keywords) {
    if (keyword !== keyword.toLowerCase()) broken.push(`its keyword ${keyword} is not lower-case`)
  }
  for (let round = 0; round < rounds && broken.length === 0; round += 1) {
    broken.push(...checkExamples(detector, random), ...checkPlaceholder(detector, random))
  }
  return [...broken, ...checkTime(detector, random, clock)]
}

function checkExamples(detector: Detector, random: RandomText): string[] {
  const broken: string[] = []
  const examples = detector.examples(random)
  const lookAlikes = detector.lookAlikes(random)
  if (examples.length === 0 || lookAlikes.length === 0) broken.push('it has no examples or no look-alikes')
  for (const [index, example] of examples.entries()) {
    const [only, ...more] = keysIn(example, detector)
    if (only === undefined || more.length > 0) broken.push(`example ${index} does not match exactly once`)
    else if (only.isPlaceholder) broken.push(`example ${index} passes for a placeholder`)
    else if (example.slice(only.index, only.index + only.key.length) !== only.key)
      broken.push(`example ${index} is not where it says`)
    const [embedded] = keysIn(`one "${example}", two`, detector)
    if (embedded?.key !== only?.key) broken.push(`example ${index} does not match inside a text`)
  }
  for (const [index, lookAlike] of lookAlikes.entries()) {
    if (keysIn(lookAlike, detector).length > 0) broken.push(`look-alike ${index} matches`)
  }
  return broken
}

function checkPlaceholder(detector: Detector, random: RandomText): string[] {
  const { text } = makePlaceholder(detector.placeholder, random)
  if (!looksLikePlaceholder(text)) return ['its placeholder is not recognised']
  if (keysIn(text, detector).some(({ isPlaceholder }) => !isPlaceholder))
    return ['it takes its own placeholder for a key']
  return []
}

function checkTime(detector: Detector, random: RandomText, clock: () => number): string[] {
  const starts = [...detector.keywords, ...detector.examples(random)]
  const fillings = starts.flatMap((start) => [start, start.slice(0, -1), `${start} `, `${start}=`])
  const tails = ['a', '-', ' ', '0', '.'].flatMap((filler) =>
    detector.keywords.slice(0, 2).map((keyword) => keyword + filler.repeat(hostileLength)),
  )
  for (const text of [
    ...fillings.map((filling) => filling.repeat(Math.ceil(hostileLength / filling.length))),
    ...tails,
  ]) {
    const start = clock()
    keysIn(text.slice(0, hostileLength), detector)
    if (clock() - start > patienceMilliseconds) return ['its pattern is slow on a hostile text']
  }
  return []
}
