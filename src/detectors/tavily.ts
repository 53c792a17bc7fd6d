import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** `tvly-` and 32 characters; development keys have `tvly-dev-`. Source: github.com/trufflesecurity/trufflehog, pkg/detectors/tavily/tavily.go; longer development keys, with a hyphen inside, were seen in public code. */
export const tavily: Detector = {
  id: 'tavily',
  name: 'Tavily API key',
  keywords: ['tvly-'],
  pattern: /(?<![\w-])(tvly-(?:(?:dev|prod)-)?[A-Za-z0-9-]{30,70})(?![\w-])/g,
  placeholder: { prefix: 'tvly-', alphabet: base62, length: 37 },
  examples: (random) => [
    `tvly-${random(32, base62)}`,
    `tvly-dev-${random(32, base62)}`,
    `TAVILY_API_KEY="tvly-${random(32, base62)}"`,
  ],
  lookAlikes: (random) => [`tvly-${random(10, base62)}`, `xtvly-${random(32, base62)}`, `tvly_${random(32, base62)}`],
}
