import { base62 } from '../core/placeholder.ts'
import type { Detector } from './detector.ts'

/** `npm_` and 36 characters, the last six a checksum. Source: github.blog/2021-09-23-announcing-npms-new-access-token-format; github.com/gitleaks/gitleaks, cmd/generate/config/rules/npm.go, for the length. */
export const npm: Detector = {
  id: 'npm',
  name: 'npm token',
  keywords: ['npm_'],
  pattern: /(?<![A-Za-z0-9_])(npm_[A-Za-z0-9]{36})(?![A-Za-z0-9_])/g,
  placeholder: { prefix: 'npm_', alphabet: base62, length: 40 },
  examples: (random) => [`npm_${random(36, base62)}`, `//registry.npmjs.org/:_authToken=npm_${random(36, base62)}`],
  lookAlikes: (random) => [
    `npm_${random(20, base62)}`,
    `npm_config_${random(36, base62)}`,
    `my_npm_${random(36, base62)}`,
  ],
}
