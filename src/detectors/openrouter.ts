import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** `sk-or-v1-` and 64 hex digits. Source: github.com/trufflesecurity/trufflehog, pkg/detectors/openrouter/openrouter.go. */
export const openrouter: Detector = {
  id: 'openrouter',
  name: 'OpenRouter API key',
  keywords: ['sk-or-'],
  pattern: /(?<![\w-])(sk-or-v\d-[0-9A-Za-z]{64})(?![\w-])/g,
  placeholder: { prefix: 'sk-or-v1-', alphabet: base62, length: 73 },
  examples: (random) => [`sk-or-v1-${random(64, '0123456789abcdef')}`],
  lookAlikes: (random) => [
    `sk-or-${random(64, base62)}`,
    `sk-or-v1-${random(10, base62)}`,
    `desk-or-v1-${random(64, base62)}`,
  ],
}
