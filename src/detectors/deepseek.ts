import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

const lower = '0123456789abcdefghijklmnopqrstuvwxyz'

/** `sk-` and 32 lower-case letters and digits. A placeholder keeps the length, and has capitals as well. Source: github.com/trufflesecurity/trufflehog, pkg/detectors/deepseek/deepseek.go. */
export const deepseek: Detector = {
  id: 'deepseek',
  name: 'DeepSeek API key',
  keywords: ['sk-'],
  pattern: /(?<![\w-])(sk-[0-9a-z]{32})(?![\w-])/g,
  placeholder: { prefix: 'sk-', alphabet: base62, length: 35 },
  examples: (random) => [`sk-${random(32, lower)}`, `DEEPSEEK_API_KEY="sk-${random(32, lower)}"`],
  lookAlikes: (random) => [`sk-${random(31, lower)}`, `sk-${random(40, lower)}`, `task-sk-${random(32, lower)}`],
}
