import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** For services that name no detector: only the word beside the value gives it away. */
export const generic: Detector = {
  id: 'generic',
  name: 'Value named like a key',
  keywords: ['key', 'token', 'secret', 'passw'],
  pattern: /(?:key|token|secret|passw(?:or)?d)[\w-]{0,20}["']?[ \t]{0,4}[=:][ \t]{0,4}["']?([\w./+~-]{16,256}={0,2})/gi,
  placeholder: { prefix: '', alphabet: base62, length: null },
  examples: (random) => [
    `API_KEY=${random(24, base62)}`,
    `"secret": "${random(40, base62)}"`,
    `token: ${random(16, base62)}`,
  ],
  lookAlikes: (random) => [
    random(40, base62),
    `API_KEY=${random(8, base62)}`,
    `monkeys and donkeys ${random(40, base62)}`,
  ],
}
