import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** 32 letters and digits, which mean nothing without the word beside them. Source: github.com/trufflesecurity/trufflehog, pkg/detectors/mistral/mistral.go. */
export const mistral: Detector = {
  id: 'mistral',
  name: 'Mistral API key',
  keywords: ['mistral'],
  pattern: /mistral[\w."' \t-]{0,40}[=:][ \t"'`]{0,4}([A-Za-z0-9]{32})(?![A-Za-z0-9])/gi,
  placeholder: { prefix: '', alphabet: base62, length: 32 },
  examples: (random) => [`MISTRAL_API_KEY=${random(32, base62)}`, `mistral_token: "${random(32, base62)}"`],
  lookAlikes: (random) => [
    random(32, base62),
    `MISTRAL_API_KEY=${random(20, base62)}`,
    `mistral-large ${random(32, base62)}`,
  ],
}
