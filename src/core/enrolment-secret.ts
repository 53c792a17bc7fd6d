import { base62, checksum, checksumLength, type RandomText } from './placeholder.ts'

const prefix = 'kwe_'
const RANDOM_CHARACTERS = 32

/** The secret by which a machine logs in once: `kwe_` + 32 random characters (190 bits) + checksum. */
export function makeEnrolment(randomCharacters: RandomText): string {
  const start = prefix + randomCharacters(RANDOM_CHARACTERS, base62)
  return start + checksum(start)
}

/** Whether the text has the form of an enrolment secret and a checksum that fits. */
export function looksLikeEnrolment(text: string): boolean {
  if (text.length !== prefix.length + RANDOM_CHARACTERS + checksumLength || !text.startsWith(prefix)) return false
  return text.slice(-checksumLength) === checksum(text.slice(0, -checksumLength))
}
