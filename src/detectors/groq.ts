import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** `gsk_` and 52 characters. Source: github.com/trufflesecurity/trufflehog, pkg/detectors/groq/groq.go. */
export const groq: Detector = {
  id: 'groq',
  name: 'Groq API key',
  keywords: ['gsk_'],
  pattern: /(?<![A-Za-z0-9_])(gsk_[A-Za-z0-9]{52})(?![A-Za-z0-9_])/g,
  placeholder: { prefix: 'gsk_', alphabet: base62, length: 56 },
  examples: (random) => [`gsk_${random(52, base62)}`, `GROQ_API_KEY=gsk_${random(52, base62)}`],
  lookAlikes: (random) => [`gsk_${random(30, base62)}`, `gsk_${random(60, base62)}`, `xgsk_${random(52, base62)}`],
}
