import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

const hex = '0123456789abcdef'

/** `sk-` and 32 hex digits; the API reference shows no more than the prefix. A placeholder keeps the length and cannot keep the digits. Source: api-docs.deepseek.com, and keys in public scanner test data. */
export const deepseek: Detector = {
  id: 'deepseek',
  name: 'DeepSeek API key',
  keywords: ['sk-'],
  pattern: /(?<![\w-])(sk-[0-9a-f]{32})(?![\w-])/g,
  placeholder: { prefix: 'sk-', alphabet: base62, length: 35 },
  examples: (random) => [`sk-${random(32, hex)}`, `DEEPSEEK_API_KEY="sk-${random(32, hex)}"`],
  lookAlikes: (random) => [`sk-${random(31, hex)}`, `sk-${random(40, hex)}`, `task-sk-${random(32, hex)}`],
}
